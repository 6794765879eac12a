from icsd.data.order import epoch_batches, epoch_order


def test_an_epochs_order_is_a_permutation_of_its_own():
    orders = [epoch_order(50, seed=seed, epoch=epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] == orders[3]
    assert orders[0] not in orders[1:3]


def test_unlabelled_samples_are_half_of_every_batch_and_come_round_once_before_twice():
    steps = [list(epoch_batches(6, 5, batch=4, seed=7, epoch=epoch)) for epoch in range(5)]
    assert {len(epoch) for epoch in steps} == {3}
    for epoch, batches in enumerate(steps):
        known = [index for batch in batches for turn, index in batch if index < 6]
        assert known == epoch_order(6, seed=7, epoch=epoch)
        assert all(place[0] == epoch for batch in batches for place in batch if place[1] < 6)
        assert all([index < 6 for _, index in batch] == [True, False, True, False] for batch in batches)
    unknown = [place for batches in steps for batch in batches for place in batch if place[1] >= 6]
    assert len(unknown) == 30
    turns = [[index - 6 for turn, index in unknown if turn == number] for number in range(6)]
    assert [sorted(turn) for turn in turns] == [list(range(5))] * 6
    assert turns[0] != turns[1]
    assert steps[3] == list(epoch_batches(6, 5, batch=4, seed=7, epoch=3))


def test_without_unlabelled_samples_batches_follow_the_order():
    assert list(epoch_batches(11, 0, batch=4, seed=7, epoch=2)) == [
        [(2, index) for index in epoch_order(11, seed=7, epoch=2)[begin : begin + 4]] for begin in (0, 4)
    ]
