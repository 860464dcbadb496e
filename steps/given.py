"""Given: the situation that a clause speaks of. Outside it, the clause is not applicable."""

from behave import given

from mpwake.suite.case import bind_conditions

bind_conditions("given", given)
