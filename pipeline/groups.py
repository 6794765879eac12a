"""A click group whose help lists the commands by section, with suggestions for unknown commands."""

import difflib

import click


class SectionedGroup(click.Group):
    """Commands in sections, in the order in which they were added."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.sections: dict[str, list[str]] = {}

    def add(self, section: str, command: click.Command) -> None:
        """Add a command to a section of the help."""
        self.add_command(command)
        self.sections.setdefault(section, []).append(str(command.name))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All command names, in the order of the help."""
        return [name for names in self.sections.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list per section."""
        for section, names in self.sections.items():
            with formatter.section(section):
                rows = [(name, self.commands[name].get_short_help_str(limit=90)) for name in names]
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's, but the error for an unknown command suggests the closest one."""
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            close = difflib.get_close_matches(
                name.replace("_", "-"), self.list_commands(ctx), n=1, cutoff=0.5
            )
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"There is no command {name!r}.{hint} `{ctx.command_path} --help` lists them all.")
        return super().resolve_command(ctx, args)
