"""The operating system: files, signals, the lock of a machine that is measuring, and the terminal."""
