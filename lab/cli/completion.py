"""Shell completion: the candidates for a line, and the script that asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.cli.words import HELP_WORDS, Command, Commands, groups

SHELLS = ("bash", "zsh", "fish")

# Each script hands the words so far to `lab --complete`, the one being typed last.
SCRIPTS = {
    "bash": """\
# lab's completion for bash. For good: put this line into ~/.bashrc
#   eval "$(lab completion bash)"
_lab_complete() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(lab --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" \\
        -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _lab_complete lab
""",
    "zsh": """\
#compdef lab
# lab's completion for zsh. For good: put this line into ~/.zshrc, after compinit
#   eval "$(lab completion zsh)"
_lab_complete() {
    local -a candidates
    candidates=("${(@f)$(lab --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -- $candidates
}
compdef _lab_complete lab
""",
    "fish": """\
# lab's completion for fish. For good:
#   lab completion fish > ~/.config/fish/completions/lab.fish
function __lab_complete
    lab --complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null
end
complete -c lab -f -a '(__lab_complete)'
""",
}

Values = Callable[[Command, str], Sequence[str]]


def candidates(words: Sequence[str], commands: Commands, values: Values) -> list[str]:
    """What may stand in place of the last of `words` (which are those after `lab`).

    `values(command, name)` gives the values of an argument or an option of a command.
    """
    *before, typed = words or [""]
    if not before:
        first = [*(n for n in commands if "." not in n), *groups(commands), "help"]
        return _starting(typed, [*first, *HELP_WORDS[:1], "--version"])
    if before[0] == "help":
        before = before[1:]
        if not before:
            return _starting(typed, [command.typed.split()[0] for command in commands.values()])
    if before[0] in groups(commands) and len(before) == 1:
        verbs = [name.split(".")[1] for name in commands if name.startswith(before[0] + ".")]
        return _starting(typed, verbs)
    name = before[0] if before[0] in commands else ".".join(before[:2])
    if name not in commands:
        return []
    command = commands[name]
    flag = command.flag(before[-1])
    if flag is not None and flag.takes_value:
        return _starting_in_list(typed, values(command, flag.names[0].removeprefix("--")))
    if typed.startswith("-"):
        return _starting(typed, [*(flag.names[0] for flag in command.flags), "--help"])
    given = [word for word in before[name.count(".") + 1 :] if not word.startswith("-")]
    for positional in command.positionals:
        if positional.variadic or not given:
            known = values(command, positional.name)
            return _starting(typed, [value for value in known if value not in given])
        given.pop(0)
    return []


def _starting(typed: str, words: Sequence[str]) -> list[str]:
    return sorted({word for word in words if word.startswith(typed)})


def _starting_in_list(typed: str, words: Sequence[str]) -> list[str]:
    """As `_starting`, for a value that may be a list with commas: `samba,k` gives `samba,ksmbd`."""
    head, comma, last = typed.rpartition(",")
    taken = head.split(",") if comma else []
    return [head + comma + word for word in _starting(last, words) if word not in taken]
