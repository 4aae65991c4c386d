"""What a model does at other numbers of steps or samples than its sample has, in words."""

from __future__ import annotations

from dataclasses import replace

from t1c.ir.errors import Problem

from .forms import Form


def described(steps: int, batch: int, form: Form) -> str:
    """So many steps and samples, as the model is given them."""
    samples = f"{batch} sample{'s' * (batch != 1)}"
    if form.single:
        return f"called {steps} times with {samples}" if steps > 1 else f"called with {samples}"
    return f"with {steps} step{'s' * (steps != 1)} of {samples}"


def failed_at(problem: Problem, steps: int, batch: int, form: Form) -> Problem:
    """What a model does that ran on its sample, but not on so many steps and samples of ours."""
    what, how = problem.found.removeprefix("the model "), described(steps, batch, form)
    if (steps, batch) == (form.steps, form.batch):
        return replace(
            problem,
            found=f"the model runs on the sample, but {how} of other numbers it {what}",
            expected="a model that runs on any numbers",
            remedy="What it does there depends on values, which a graph cannot follow.",
        )
    built = "one B, or for some calls only" if form.single else "one T or B"
    return replace(
        problem,
        found=f"the model runs on the sample, but {how} it {what}",
        expected="a model that takes any number of steps and samples",
        remedy=f"It is built for {built}: "
        "take sizes from the input, as x.shape gives them, in the place of numbers that are "
        "written down or kept from the sample.",
    )
