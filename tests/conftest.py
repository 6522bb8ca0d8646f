"""What every test may use."""

pytest_plugins = ["emulators.fixtures", "emulators.gcs_double.fixtures", "emulators.storages"]
