"""A page of Markdown: its blocks of code, the commands in them, links, and what links may name."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.pages.listed import OUTSIDE

ROOT = Path(__file__).parents[2]
SHELL = ("console", "bash", "sh", "shell")
PLAIN = ("", "text")  # output and drawings; a command in them has a prompt, or is known by name
_FENCE = re.compile(r"( *)(`{3,}|~{3,})\s*(\S*)")
_OURS = re.compile(r"edaformer(-[a-z]+)?")
_COMMENT = re.compile(r"\s+#\s.*$")
_FOLDERS = ("docs", "examples", "benchmarks", "edaformer", "tests", "tools", ".github")
RUNNABLE = ("python", "python3", "mv", "cp", "mkdir", "ls", "cat", "head", "echo")


@dataclass(frozen=True)
class Block:
    """A fenced or indented block of code."""

    page: str
    line: int  # of its first line
    language: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def first(self) -> str:
        """What a snippet is told by."""
        return self.text.lstrip("\n").partition("\n")[0].strip()

    @property
    def commands(self) -> tuple[str, ...]:
        """Whole command lines, as one types them; output is left out."""
        lines = [_COMMENT.sub("", line) for line in self.text.splitlines()]
        lines = [line for line in lines if line.strip() and not line.lstrip().startswith("# ")]
        if any(line.startswith("$ ") for line in lines):
            return tuple(_joined(lines, prompt="$ "))
        typed = self.language in SHELL or (self.language in PLAIN and _begins_typed(lines))
        return tuple(_joined(lines)) if typed else ()


def pages() -> list[Path]:
    """Every page in the checkout."""
    found = [*ROOT.glob("*.md"), *(path for folder in _FOLDERS
                                   for path in (ROOT / folder).rglob("*.md"))]  # fmt: skip
    return sorted(found)


def name(page: Path) -> str:
    """As the tables have it."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """In their order."""
    return [*_fenced(name(page), page.read_text(encoding="utf-8").splitlines())]


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for block in blocks(page):
        for number in range(block.line - 1, block.line - 1 + len(block.text.splitlines())):
            lines[number] = ""
    return "\n".join(line for line in lines if not _FENCE.match(line))


def links(page: Path) -> list[str]:
    """The targets of links and pictures."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    inline = re.findall(r"\]\(\s*<?([^)\s>]+)", text)
    named = re.findall(r"^\s*\[[^\]]+\]:\s*(\S+)", text, re.MULTILINE)
    return [*inline, *named, *re.findall(r"<(?:a|img)[^>]*?(?:href|src)=\"([^\"]+)\"", text)]


def anchors(page: Path) -> set[str]:
    """What GitHub makes of headings, and anchors set by hand."""
    text, seen, made = prose(page), Counter[str](), set[str]()
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", text, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        made.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return made | set(re.findall(r"<a\s+(?:id|name)=\"([^\"]+)\"", text))


def parts(command: str) -> list[list[str]]:
    """The words of each command of a line; what ``&&``, ``|`` and ``;`` join comes one by one."""
    found: list[list[str]] = [[]]
    for word in _words(command):
        if set(word) <= set("|&;"):
            found.append([])
        else:
            found[-1].append(word)
    return [_bare(words) for words in found if words]


def is_simple(command: str) -> bool:
    """Whether a line is one command, with nothing that a shell would have to understand."""
    return not any(set(word) <= set("|&;<>") for word in _words(command)) and "$" not in command


def is_ours(words: list[str]) -> bool:
    """Whether this is a command of the package."""
    return bool(_OURS.fullmatch(words[0])) or words[1:3] == ["-m", "edaformer"]


def _words(command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    return list(lexer)


def _bare(words: list[str]) -> list[str]:
    """Without the variables in front."""
    while len(words) > 1 and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words


def _begins_typed(lines: list[str]) -> bool:
    """Whether an untagged block's first word is a program."""
    first = lines[0].split()[0] if lines else ""
    return bool(_OURS.fullmatch(first)) or first in {*RUNNABLE, *(row[0] for row in OUTSIDE)}


def _joined(lines: list[str], prompt: str = "") -> Iterator[str]:
    """Lines with what goes on in the next: after a backslash, or (no prompts) indented."""
    whole = ""
    for line in lines:
        goes_on = whole.endswith("\\") or (whole and not prompt and line.startswith(" "))
        if goes_on:
            whole = f"{whole.removesuffix(chr(92)).rstrip()} {line.strip()}"
            continue
        if whole:
            yield whole
        whole = line.removeprefix(prompt).strip() if line.startswith(prompt) else ""
    if whole:
        yield whole


def _fenced(page: str, lines: list[str]) -> Iterator[Block]:
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is not None:
            end = next((i for i in range(at + 1, len(lines)) if lines[i].strip() == fence[2]), None)
            assert end is not None, f"{page}:{at + 1}: a fence that nothing closes"
            indent = len(fence[1])
            text = "\n".join(line[min(indent, len(line)) :] for line in lines[at + 1 : end])
            yield Block(page, at + 2, fence[3].lower(), text)
            at = end + 1
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            end = at
            while end < len(lines) and lines[end].startswith("    "):
                end += 1
            text = "\n".join(line[4:] for line in lines[at:end])
            yield Block(page, at + 1, "", text)
            at = end
        else:
            at += 1
