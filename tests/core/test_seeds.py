from icsd.core.seeds import seed_at


def test_coordinates_alone_decide():
    assert seed_at(1, "augment", 2) == seed_at(1, "augment", 2)


def test_neighbours_and_regroupings_differ():
    seeds = [seed_at(1, 23), seed_at(12, 3), seed_at(123), seed_at(1, 2, 3), seed_at("1", 23), seed_at(1, 24)]
    assert len(set(seeds)) == len(seeds)


def test_a_seed_fits_every_generator():
    assert all(0 <= seed_at(index) < 2**63 for index in range(1000))


def test_the_value_is_the_same_on_every_machine():
    assert seed_at(0, "init", "resnet18") == 4911770606251239583
