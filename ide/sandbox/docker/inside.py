"""What runs in a container to signal its processes, where the server may not do so from outside."""
from __future__ import annotations

# In /proc/PID/stat, behind the name in brackets, which may hold anything: state, parent, group, session.
_EACH = r"""
for stat in /proc/[0-9]*/stat; do
    { read -r line < "$stat"; } 2> /dev/null || continue
    pid=${line%% *}
    set -- ${line##*) }
"""

_END_SESSION = f"""signal=$1 session=$2
{_EACH}
    [ "$4" != "$session" ] || kill "-$signal" "$pid"
done
"""

# What the engine started in it has no parent that can be seen from inside.
_HANG_UP = f"""self=$$ leaders=' '
{_EACH}
    [ "$2" != 0 ] || [ "$pid" = 1 ] || [ "$pid" = "$self" ] || leaders="$leaders$pid "
done
{_EACH}
    case $leaders in *" $4 "*) kill -HUP "$pid"; kill -CONT "$pid" ;; esac
done
"""


def end_session(signal: int, session: int) -> list[str]:
    """Send the signal to every process of the session."""
    return ["sh", "-c", _END_SESSION, "sh", str(signal), str(session)]


def hang_up() -> list[str]:
    """Tell the programs that were started from outside that their terminals are gone."""
    return ["sh", "-c", _HANG_UP, "sh"]
