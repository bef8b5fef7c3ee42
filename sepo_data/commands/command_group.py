"""The group of all commands, each built when it is asked for: the list that `sepo --help` prints needs none of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import typer
import typer.core
import typer.main
from typer._click.exceptions import NoArgsIsHelpError, UsageError

from sepo_data.commands.built_options import with_built_options
from sepo_data.commands.config_file import takes_config
from sepo_data.commands.grouped_help import command_class, name_values
from sepo_data.commands.options import examples
from sepo_data.console.text import spelt_out

if TYPE_CHECKING:
    from types import ModuleType

    from typer._click import Command, Context, HelpFormatter


def build_command(name: str, module: ModuleType) -> Command:
    """Build the command of `module`: its `run`, with the examples and further headings of help that it declares."""
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    cls = command_class(getattr(module, "SECTIONS", None))
    run = takes_config(with_built_options(module.run))
    name_values(run)
    alone.command(name, cls=cls, epilog=examples(*module.EXAMPLES))(run)
    return typer.main.get_command(alone)


class Commands(MutableMapping[str, "Command"]):
    """Commands by name; building one takes 5 ms, most of them for Typer's look at its options."""

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        self._modules = modules
        self._built: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._built:
            self._built[name] = build_command(name, self._modules[name])
        return self._built[name]

    def __setitem__(self, name: str, command: Command) -> None:
        self._built[name] = command

    def __delitem__(self, name: str) -> None:
        del self._modules[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


class CommandGroup(typer.core.TyperGroup):
    """A group whose commands are the modules in `modules`."""

    modules: ClassVar[dict[str, ModuleType]] = {}

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - Typer's own
        super().__init__(**settings)
        self.commands = Commands(self.modules)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the options before the command."""
        with _errors_on_one_line():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Context) -> Any:  # noqa: ANN401 - Typer's own
        """Parse the options of a command and run it."""
        with _errors_on_one_line():
            return super().invoke(ctx)

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the options without the variables of those that Typer adds after the group is made."""
        for parameter in self.params:
            if isinstance(parameter, typer.core.TyperOption):
                parameter.show_envvar = False
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002 - Typer's signature
        """Write the first line of each command's docstring."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, (inspect.getdoc(module.run) or "").partition("\n")[0]) for name, module in self.modules.items()]
            )


@contextmanager
def _errors_on_one_line() -> Iterator[None]:
    """Spell out what a usage error quotes: a value from a file may hold anything."""
    try:
        yield
    except UsageError as error:
        if not isinstance(error, NoArgsIsHelpError):  # its message is the help
            error.message = spelt_out(error.message)
        raise


def command_group(*modules: ModuleType) -> type[CommandGroup]:
    """The class of a group of these modules; a command is called like its file."""
    named = {module.__name__.rpartition(".")[2]: module for module in modules}
    return type("CommandGroup", (CommandGroup,), {"modules": named})
