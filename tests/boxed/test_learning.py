"""`clfd-train`: learning anew under systemd when a labels CSV has changed."""

from __future__ import annotations

from service_box import HOME, ServiceBox

LABELS = f"{HOME}/labels"
NARROW = "--epochs 2 --width 2 --mels 16 --clip-seconds 0.5 --sample-rate 8000"


def write_labels(box: ServiceBox, n_takes: int) -> None:
    names = [f"{label}-{take}.wav" for label in ("dog", "rain") for take in range(n_takes)]
    box.run(f"mkdir -p {LABELS}")
    box.drop(*names, folder=LABELS)
    rows = "".join(f"{name},{name.partition('-')[0]}\n" for name in names)
    box.write(f"{LABELS}/labels.csv", f"path,label\n{rows}")


def n_checkpoints(box: ServiceBox) -> int:
    return int(box.says(f"ls {HOME}/checkpoints/*.safetensors | wc -l"))


def test_a_csv_is_learned_from_once_and_served(serving: ServiceBox) -> None:
    serving.write("/etc/clfd/train.env", f"TRAIN_OPTIONS={NARROW}\n")
    write_labels(serving, 3)
    serving.run("systemctl start clfd-train")
    assert serving.shows("clfd-train", "Result") == "success", serving.journal("clfd-train")
    assert n_checkpoints(serving) == 2
    learned = serving.says(f"readlink {HOME}/checkpoints/active").removesuffix(".safetensors")
    serving.wait_until(lambda: serving.status().get("served_checkpoint") == learned)
    serving.run("systemctl start clfd-train")  # the CSV is the one that was learned from
    assert "Skipped due to 'exec-condition'" in serving.journal("clfd-train")
    assert n_checkpoints(serving) == 2


def test_a_change_of_the_csv_is_noticed(serving: ServiceBox) -> None:
    serving.write("/etc/clfd/train.env", f"TRAIN_OPTIONS={NARROW}\n")
    write_labels(serving, 3)
    serving.run("systemctl start clfd-train.path")
    write_labels(serving, 4)
    serving.wait_until(lambda: n_checkpoints(serving) == 2)
    assert "rain-3.wav" in serving.says("cat /var/cache/clfd/learn*.csv")


def test_a_csv_that_is_no_good_is_told_and_not_taken_for_learned(box: ServiceBox) -> None:
    box.write(f"{LABELS}/labels.csv", "path,label\nmissing.wav,dog\n")
    assert box.run("systemctl start clfd-train", check=False).returncode
    assert "missing.wav" in box.last_words("clfd-train")
    assert box.says("ls /var/cache/clfd/*.csv") == "/var/cache/clfd/learning.csv"
