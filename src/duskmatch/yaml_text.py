"""Reading YAML strictly: no key twice, and errors instead of surprising values."""

from __future__ import annotations

import reprlib
from typing import Any

import yaml

from duskmatch.errors import SettingsError

MERGE = "tag:yaml.org,2002:merge"  # of the key `<<`
MOST_VALUES = 200_000  # with what aliases (`*name`) repeat: a few lines of them can stand for billions of values
SHORT = reprlib.Repr()  # of what is nested, only as much as a message shows
SHORT.maxlevel, SHORT.maxlist, SHORT.maxdict, SHORT.maxset, SHORT.maxtuple = 5, 9, 9, 9, 9
SHORT.maxstring = SHORT.maxlong = SHORT.maxother = 10_000


class OnceLoader(yaml.SafeLoader):
    """Refuses a key that occurs twice in one mapping, of which YAML would keep the last; keys from `<<` may change.

    It looks before `<<` is merged: afterwards an overridden key would occur twice.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: dict[Any, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            line, value = key.start_mark.line + 1, self.construct_object(key)  # 1 and 1.0 are one key
            if value in seen:
                raise SettingsError(f"line {line}: {key.value} must be there once; it is in line {seen[value]} too")
            seen[value] = line
        return node


def load_yaml(text: str) -> Any:
    """The value of a YAML text; raises yaml.YAMLError or SettingsError if it is not valid."""
    loader = OnceLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if n_values(node, {}) > MOST_VALUES:
            raise yaml.YAMLError(f"aliases (*name) repeat more than {MOST_VALUES:,} values")
        return loader.construct_document(node)
    except RecursionError as error:
        raise yaml.YAMLError("brackets or lists are nested too deep") from error
    except ValueError as error:  # February 30, or a number of too many digits
        raise yaml.YAMLError(str(error)) from error
    finally:
        loader.dispose()


def n_values(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """The number of values in a node, what aliases repeat counted each time."""
    if node not in known:
        known[node] = MOST_VALUES + 1  # until it is counted: an alias inside its own value repeats without end
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = (one for part in parts for one in (part if isinstance(part, tuple) else (part,)))
        known[node] = 1 + sum(n_values(one, known) for one in inner)
    return known[node]


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
        text = SHORT.repr(value)
    except RecursionError:
        return "values nested too deep"
    except ValueError:  # Python does not print a whole number of so many digits
        return "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:200]}..."
