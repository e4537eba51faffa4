"""The errors a caller can meet: each says what is wrong, where, what was expected and what to do."""


class EverfeedError(Exception):
    """Base of every error that is the caller's to fix; the command line answers it with exit code 2, HTTP with 4xx."""


class SourceError(EverfeedError):
    """A file or folder given as a source is missing, empty, damaged, or lacks what its format requires."""


class DataError(EverfeedError):
    """Data that was read cannot be used: a wrong type, a window without rows, too few interactions."""


class SplitError(DataError):
    """A split leaves nothing to train on, or nothing to evaluate."""


class RecipeError(EverfeedError):
    """A recipe names an unknown model or field, or holds a value out of its range."""


class UnknownNameError(EverfeedError):
    """A plug-in was asked for by a name that no module of its folder has."""


class PluginError(EverfeedError):
    """A plug-in of a project cannot be imported, lacks what its kind defines, or has the name of another."""


class SettingsError(EverfeedError):
    """A project's file of settings is missing, is no TOML, or holds an unknown name or a wrong value."""


class BundleError(EverfeedError):
    """A bundle is incomplete, altered, of another format, or not what the digest says."""


class CheckpointError(EverfeedError):
    """A checkpoint is damaged, or belongs to another recipe or snapshot."""


class TrainingError(EverfeedError):
    """Training cannot go on: a non-finite loss, or a forecast that does not fit the machine."""


class AdapterError(EverfeedError):
    """An adapter cannot be read, or is not of the bundle that it is to change."""


class StoreError(EverfeedError):
    """A store cannot be used: of a newer version, locked, unreachable, or without what was asked for."""


class ValidationFailedError(DataError):
    """A table broke a table-level expectation, so the lifecycle stopped before training."""


class GateRefusedError(EverfeedError):
    """A model did not pass the gate, and promotion was asked for without forcing it."""


class PortTakenError(EverfeedError):
    """A port that a service needs is in use by another process."""


class AlreadyRunningError(EverfeedError):
    """A stack is already up over the same home folder."""
