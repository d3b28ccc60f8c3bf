"""Prints a dictionary for compressing destinations, trained on the link texts and links of a folder of HTML mails.

Dictionary 1 of `tracker.core.dictionaries` came from this. A dictionary in use never changes: a new one gets
a new number. Usage: python -m tests.bench.train_dictionary FOLDER
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import turbohtml

WORDS = 80
# The five campaign parameters as Google Analytics documents them, with the values of its own example.
# No mail of the corpus has a campaign parameter, and no word list makes up for them.
CAMPAIGN = (
    "&utm_id=&utm_term=&utm_content=&utm_campaign=?utm_source=newsletter&utm_medium=email&utm_campaign=&utm_content="
)


def train(folder: Path) -> bytes:
    """The most telling words last but for the fixed part: zlib reaches the end of a dictionary most cheaply."""
    files: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.html")):
        document = turbohtml.parse(path.read_text(encoding="utf-8"))
        links = " ".join(f"{link.text} {link.attr('href') or ''}" for link in document.find_all("a")).lower()
        files.update(set(re.findall(r"[a-z]{4,12}", links)))
    ranked = sorted(files, key=lambda word: (files[word] * (len(word) - 2), word))
    words = [word for word in ranked if files[word] >= 3][-WORDS:]
    return "/".join(["", *words, ""]).encode() + CAMPAIGN.encode() + b".org/.net/.html?https://www.example.com/"


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
