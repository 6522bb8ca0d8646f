"""``python -m file_keeper_cli`` is ``file-keeper``."""

from . import main

main()
