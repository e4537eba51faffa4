"""The stages: each module of this folder is one, called by its file's name."""
