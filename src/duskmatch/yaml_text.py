"""Reading YAML strictly: no key twice, and errors instead of surprising values."""

from __future__ import annotations

from typing import Any

import yaml

from duskmatch.errors import SettingsError

MERGE = "tag:yaml.org,2002:merge"  # of the key `<<`


class OnceLoader(yaml.SafeLoader):
    """Refuses a key that occurs twice in one mapping, of which YAML would keep the last; keys from `<<` may change.

    It looks before `<<` is merged: afterwards an overridden key would occur twice.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            line = key.start_mark.line + 1
            if key.value in seen:
                raise SettingsError(f"line {line}: {key.value} must be there once; it is in line {seen[key.value]} too")
            seen[key.value] = line
        return node


def load_yaml(text: str) -> Any:
    """The value of a YAML text; raises yaml.YAMLError or SettingsError if it is not valid."""
    try:
        return yaml.load(text, OnceLoader)
    except RecursionError as error:
        raise yaml.YAMLError("brackets or lists are nested too deep") from error
    except ValueError as error:  # February 30, or a number of too many digits
        raise yaml.YAMLError(str(error)) from error


def plain_value(text: str, name: str) -> Any:
    """The value of a word of the command line, by YAML's rules; `name`: the setting, for the error message."""
    try:
        value = load_yaml(text)
    except (yaml.YAMLError, SettingsError) as error:
        raise SettingsError(f"{name}: {shortened(text)} is no YAML value") from error
    if isinstance(value, str):
        try:
            return float(value)  # YAML 1.1 reads 1e-4 as text
        except ValueError:
            return value
    return value


def shortened(value: Any) -> str:
    """A value as Python writes it, cut if it is long."""
    try:
        text = repr(value)
    except RecursionError:
        return "values nested too deep"
    except ValueError:  # Python does not print a whole number of so many digits
        return "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:200]}..."
