"""When: how the evidence is looked at. Without that evidence, the clause is not testable."""

from behave import when

from mpwake.suite.case import bind_conditions

bind_conditions("when", when)
