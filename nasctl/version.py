"""The version of nasctl. Modules import it from here, so that none imports the library face `nasctl`."""

__version__ = "0.1.0"
