"""The operating system: files, signals, the terminal, the lock of the machine, and the limit on memory."""
