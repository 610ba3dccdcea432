"""Where the table of the demo board is."""

from pathlib import Path

TABLE = Path(__file__).with_name("board.json")
