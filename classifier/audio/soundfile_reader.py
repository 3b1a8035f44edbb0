"""A file as libsndfile decodes it, as far as it can be decoded."""

from __future__ import annotations

import numpy as np
import soundfile

from classifier.audio.samples import BLOCK_SAMPLES, Block, Levels, Samples
from classifier.errors import DecodingError

FINE_FRAMES = 1024  # decoded at once where what lies before a damage is to be decoded
SHORT_SECONDS = 0.1  # that may be missing at the end where a lossy encoder has rounded
LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")
UNKNOWN_FRAMES = 2**62  # libsndfile says 2**63-1 where a header names no length


class SoundfileReader(soundfile.SoundFile):  # type: ignore[misc]
    """With `accepts_damaged` what lies before a damage is decoded.

    The sample rate is that of the sound: `time_expansion` times that of a file which is played
    more slowly. `truncation_error` is why a recording cannot be decoded to the end that its header
    promises, and `ends_at` the frame where it ends instead.
    """

    accepts_damaged = False
    time_expansion = 1
    truncation_error: DecodingError | None = None
    ends_at: int | None = None

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.level = Levels()

    @property
    def samplerate(self) -> int:
        return int(super().samplerate) * self.time_expansion

    def seekable(self) -> bool:
        """Where it may be, soundfile seeks after each read to where it is.

        That fails at the end of a stream of unknown length, makes FLAC decode a frame again, and
        MP3 sound a little different. In an Ogg it leads over a hole.
        """
        return self.format == "OGG" and bool(super().seekable())

    def mono(self, begin: int, n_frames: int) -> Samples:
        """Frames [begin, begin + n_frames) as one channel; fewer where the file ends.

        Raises DecodingError, or soundfile.SoundFileError.
        """
        if begin >= self.frames:
            return np.zeros(0, np.float32)
        mono = np.empty(min(n_frames, self.frames - begin), np.float32)
        at_once = FINE_FRAMES if self.accepts_damaged else BLOCK_SAMPLES // self.channels
        done = 0
        try:
            self._seek_to(begin)
            while done < len(mono):
                n_read = self._read_into(mono[done : done + at_once])
                if not n_read:
                    self._check_truncation(begin + done, len(mono) - done)
                    break
                done += n_read
        except soundfile.SoundFileError as error:
            if not self.accepts_damaged or begin + done == 0:
                raise
            self.ends_at = begin + done
            self.truncation_error = DecodingError(
                "damaged",
                f"cannot be decoded beyond {self.ends_at / self.samplerate:.1f} s ({_reason(error)}"
                "); copy it again from its source",
            )
        return mono[:done]

    def _read_into(self, mono: Samples) -> int:
        """How many frames were there to fill it with."""
        if self.channels == 1:
            block = self.read(out=mono[:, np.newaxis])
        else:
            block = self.read(len(mono), "float32", always_2d=True)
        self.level.take(block, mono[: len(block)])
        return len(block)

    def block(self, begin: int, n_frames: int) -> Block:
        """(N, channels), of a file whose header names its length."""
        self.seek(begin)
        return np.asarray(self.read(n_frames, "float32", always_2d=True))

    def _seek_to(self, frame: int) -> None:
        """Where a stream cannot be searched (its header names no length), reads up to the place."""
        if frame == 0:
            return
        if self.frames < UNKNOWN_FRAMES:
            self.seek(frame)
            return
        at_once = BLOCK_SAMPLES // self.channels
        while frame > 0 and (skipped := len(self.read(min(at_once, frame), "float32"))):
            frame -= skipped

    def _check_truncation(self, frame: int, n_missing: int) -> None:
        """Raises DecodingError where reading has ended before the promised end, unless it may."""
        may_miss = SHORT_SECONDS * self.samplerate if self.subtype in LOSSY else 0
        if self.frames >= UNKNOWN_FRAMES or n_missing <= may_miss:
            return
        truncation_error = cut_short(self.frames, frame, self.samplerate)
        if not self.accepts_damaged or frame == 0:
            raise truncation_error
        self.truncation_error, self.ends_at = truncation_error, frame


def cut_short(promised_frames: int, decoded_frames: int, rate_hz: int) -> DecodingError:
    return DecodingError(
        "truncated",
        f"cut short or damaged: the header promises {promised_frames / rate_hz:.1f} s, "
        f"decoding ends at {decoded_frames / rate_hz:.1f} s; copy it again",
    )


def undecodable(error: soundfile.SoundFileError) -> DecodingError:
    return DecodingError(
        "damaged", f"the audio cannot be decoded ({_reason(error)}); copy it again from its source"
    )


def _reason(error: soundfile.SoundFileError) -> str:
    reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
    # libsndfile says this of an MP3 file in which it finds no frame.
    return "no audio found in it" if reason.startswith("File does not exist") else reason
