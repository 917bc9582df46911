"""How many threads a chunk of steps gets, on a clock that the test holds."""

import pytest

from jitmlp.engine.thread_choice import CHUNK_SECONDS, ThreadChoice


def run(choice, seconds, chunks=200):
    """Feed a choice the seconds a step takes with each count; the counts and steps of the chunks."""
    taken = []
    for _ in range(chunks):
        count, steps = choice.next()
        taken.append((count, steps))
        choice.learn(count, seconds(count, len(taken)), steps)
    return taken


def share(taken, count):
    """Of the steps, those with a count."""
    return sum(steps for c, steps in taken if c == count) / sum(steps for _, steps in taken)


def test_a_large_step_uses_all_threads():
    taken = run(ThreadChoice(4), lambda count, _: 2e-3 / count)
    judged = [number for number, (count, _) in enumerate(taken) if count == 1]
    assert share(taken, 4) > 0.99 and {count for count, _ in taken[2:]} == {1, 4}
    assert judged == [0, 1, 3, 5, 8, 13, 22, 39, 72, 137]  # more and more seldom
    taken = run(ThreadChoice(4), lambda count, _: 5e-2 / count)
    assert [count for count, _ in taken] == [1, 1] + [4] * 198  # there one thread costs too much


@pytest.mark.parametrize("best", [1, 2, 4])
def test_a_small_step_uses_what_is_fastest(best):
    taken = run(ThreadChoice(4), lambda count, _: 1e-5 if count == best else 2e-5)
    assert share(taken, best) > 0.98 and {count for count, _ in taken} == {1, 2, 4}


def test_the_choice_follows_the_machine():
    taken = run(ThreadChoice(2), lambda count, chunk: 1e-5 * (count if chunk < 60 else 3 - count), 300)
    assert share(taken[:60], 1) > 0.95 and share(taken[150:], 2) > 0.95


def test_one_thread_has_no_choice():
    assert {count for count, _ in run(ThreadChoice(1), lambda count, _: 1e-6)} == {1}


def test_a_chunk_lasts_no_longer_than_an_interrupt_may_wait():
    for seconds in (1e-6, 1e-4, 1e-2, 1.0):
        taken = run(ThreadChoice(2), lambda count, _, s=seconds: s)
        assert taken[0] == (1, 1)
        assert all(steps * seconds <= CHUNK_SECONDS + seconds for _, steps in taken[3:])


@pytest.mark.parametrize("n_steps, counts", [(2000, {1}), (20_000, {1, 2})])
def test_what_is_soon_done_is_done_by_one_thread(n_steps, counts):
    assert {count for count, _ in one_fit(ThreadChoice(2), n_steps)} == counts
    large = ThreadChoice(2)
    large.n_steps = 10
    assert share(run(large, lambda count, _: 4e-3), 2) > 0.99


def one_fit(choice, n_steps, best=2):
    """The counts and steps of a fit of so many steps, of 10 us each with one thread and of 6 with the best count."""
    choice.n_steps, taken = n_steps, []
    while (left := n_steps - sum(steps for _, steps in taken)) > 0:
        count, steps = choice.next()
        taken.append((count, min(steps, left)))
        choice.learn(count, 6e-6 if count == best else 1e-5, taken[-1][1])
    return taken


def test_a_first_step_that_was_disturbed_is_forgotten():
    taken = run(ThreadChoice(4), lambda count, chunk: 1e-3 if chunk <= 2 else 1e-5 * count, 100)
    assert share(taken, 1) > 0.95


@pytest.mark.parametrize("n_steps", [1, 10_000])
def test_a_small_step_that_others_disturb_is_not_taken_for_large(n_steps):
    """The first steps take slices of the scheduler, and so do all of those of a team that waits for a core."""
    choice = ThreadChoice(2)
    choice.n_steps = n_steps
    seconds = {1: lambda chunk: 4e-3 if chunk <= 2 else 1e-5, 2: lambda chunk: 4e-3}
    taken = run(choice, lambda count, chunk: seconds[count](chunk), 300)
    assert share(taken[50:], 1) > 0.95


@pytest.mark.parametrize("time, best", [(0.97, 1), (0.93, 2)])
def test_threads_that_gain_nothing_are_left_to_others(time, best):
    taken = run(ThreadChoice(4), lambda count, _: 1e-5 * (time if count > 1 else 1), 300)
    assert share(taken, best) > 0.9


@pytest.mark.parametrize("best", [1, 2])
def test_many_small_fits_find_out_what_is_fastest(best):
    choice = ThreadChoice(2)
    fits = [one_fit(choice, 2000, best) for _ in range(30)]
    assert share(fits[0], 1) == 1 and share(sum(fits[6:], []), best) > 0.95
