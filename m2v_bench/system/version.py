"""Version of the package; the build reads it from here."""

__version__ = "0.2.0"

# What pip installs: the checkout, as the package index has no m2v-bench of ours; a release changes it to `m2v-bench`.
INSTALL_FROM = "."
