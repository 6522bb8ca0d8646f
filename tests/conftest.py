"""What every test may use."""

pytest_plugins = ["emulators.fixtures"]
