"""Selection: which tokens count. Rules, filters, soft weights. The place to add a rule."""
