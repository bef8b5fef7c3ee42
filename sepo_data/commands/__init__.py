"""Commands that need no model, one file each, and the options that commands share."""
