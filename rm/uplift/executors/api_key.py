"""The key of a server: read from the environment, sent in one header, shown nowhere."""

from __future__ import annotations

import os

from rm.errors import ConfigError


class ApiKey:
    """A key that no message shows."""

    def __init__(self, variable: str) -> None:
        """Raises: ConfigError where the variable is not set, or holds what is no key."""
        self._variable = variable
        self._value = os.environ.get(variable, "").strip() if variable else ""
        if variable and not self._value:
            raise ConfigError(f"The environment variable {variable} (api_key_env) is not set. Put the key into it.")
        if not (self._value.isascii() and self._value.isprintable()) or " " in self._value:
            raise ConfigError(f"The environment variable {variable} holds blanks or characters that no key has.")

    def __repr__(self) -> str:
        return f"ApiKey({self._variable!r})"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    def strike_out(self, text: str) -> str:
        """`text` without the key."""
        return text.replace(self._value, "***") if self._value else text

    @property
    def advice(self) -> str:
        """What to do when a server refuses."""
        if self._variable:
            return f"Check the key in the environment variable {self._variable}."
        return "If it wants a key, put that into an environment variable and name it in api_key_env."
