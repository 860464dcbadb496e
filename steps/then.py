"""Then: the claim. Each sentence belongs to one check, which is registered under its requirement's id."""

from behave import then

from mpwake.suite.case import bind_claims

bind_claims(then)
