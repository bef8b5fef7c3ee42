"""Commands that need no model, one file each. No other place but `sepo_train/commands` knows the command line."""
