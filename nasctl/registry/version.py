"""The version of nasctl and of its plug-ins. Modules import it from here, so that none imports the face `nasctl`."""

__version__ = "0.1.0"
