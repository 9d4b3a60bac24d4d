"""The resolved recipe of every row, as it was last reviewed. After a change that is meant, write them anew:

python tests/recipes/renew.py
"""

from __future__ import annotations

from pathlib import Path

from cvzoo.files import write_json
from cvzoo.recipes.codec import to_json
from cvzoo.zoo import ROWS

FOLDER = Path(__file__).parent / "resolved"
COMMAND = "python tests/recipes/renew.py"


def renew() -> None:
    for row, entry in ROWS.items():
        write_json(FOLDER / f"{row}.json", to_json(entry.recipe()))
    for path in FOLDER.glob("*.json"):
        if path.stem not in ROWS:
            path.unlink()


if __name__ == "__main__":
    renew()
