"""Figures and the HTML report: token rewards, selections and trained models as people look at them."""
