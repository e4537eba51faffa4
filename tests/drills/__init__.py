"""What goes wrong on a machine, done for real: a full disk, credentials that expire."""
