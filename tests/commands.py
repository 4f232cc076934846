"""Command lines, parsed by the real programs without being executed: a wrong option raises."""

import difflib
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import typer

from flows.commands.app import app

SEPARATORS = "|;&"
ASSIGNMENT = re.compile(r"\w+=\S* ?")


def parse_nmt(words: list[str]) -> dict[str, Any]:
    """Return the parameters of a command of `nmt` by name."""
    command: Any = typer.main.get_command(app)  # Typer has a click of its own.
    words = list(words)
    while hasattr(command, "commands") and words:
        if words[0] not in command.commands:
            raise ValueError(f"No such command {words[0]}: {difflib.get_close_matches(words[0], command.commands, 1)}")
        command = command.commands[words.pop(0)]
    parsed: dict[str, Any] = {} if hasattr(command, "commands") else command.make_context("nmt", words).params
    return parsed


def nmt_commands() -> dict[str, Any]:
    """Return the commands of `nmt` by what is typed, those of groups instead of the groups."""

    def of(group: Any, before: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from of(command, f"{before}{name} ")
            else:
                yield f"{before}{name}", command

    return dict(of(typer.main.get_command(app), ""))


def parse_prefect(words: list[str]) -> None:
    from prefect.cli._app import _app

    options = {"--no-prompt"}  # Of `prefect` itself: the others are its commands'.
    _app.parse_args([word for word in words if word not in options], exit_on_error=False, print_error=False)


def parse_ray(words: list[str]) -> None:
    from ray.scripts import scripts

    scripts.cli.commands[words[0]].make_context(words[0], words[1:])


def parse_mlflow(words: list[str]) -> None:
    from mlflow.cli import cli

    command: Any = cli
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context("mlflow", words)


PARSERS: Mapping[str, Callable[[list[str]], Any]] = {
    "nmt": parse_nmt,
    "prefect": parse_prefect,
    "ray": parse_ray,
    "mlflow": parse_mlflow,
}

UNTRIED = {
    "mkdir",
    *("echo", "openssl", "ssh", "helm", "sed", "tar", "psql", "pg_dumpall", "git", "source"),
    *("umask", "for", "do", "done", "{", "}", "eval", "export", "cd", "."),
}
"""Programs, and words of the shell, that are known but not looked into."""
PROGRAMS = {*PARSERS, *UNTRIED, "make", "python", "curl", "docker", "kubectl"}


def split_commands(script: str) -> Iterator[list[str]]:
    """Yield the commands of a shell script in words: those of pipes and `$(...)` too, without redirections.

    >>> list(split_commands("A=1 nmt train | tail > x  # comment"))
    [['A=1', 'nmt', 'train'], ['tail']]
    """
    script = re.sub(r"(^|\s)#\s.*$", "", re.sub(r"\\\n\s*", " ", script), flags=re.M)
    lexer = shlex.shlex(script, posix=True, punctuation_chars=f"{SEPARATORS}<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    words: list[str] = []
    for token in lexer:
        if set(token) <= {*SEPARATORS, "\n"}:
            if words:
                yield words
            words = []
        elif set(token) <= {"<", ">"}:
            next(lexer)
        else:
            words.append(token)
            for nested in re.findall(r"\$\(([^()]*)\)", token):
                yield from split_commands(nested)
    if words:
        yield words
