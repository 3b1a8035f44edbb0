"""A file as FFmpeg decodes it: its first stream of audio, as far as it can be decoded.

FFmpeg reads what libsndfile does not. It gets a descriptor and the name of one demuxer, so that it
neither guesses what a file is nor opens another one. PyAV (which holds FFmpeg) is imported here,
and this module only by a worker that has such a file to read.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from classifier.audio.containers.declared_size import asf_end
from classifier.audio.containers.formats import check_bounds
from classifier.audio.containers.integrity import Patched
from classifier.audio.containers.signatures import CONVERT
from classifier.audio.samples import Levels, Samples
from classifier.audio.soundfile_reader import SHORT_SECONDS, UNKNOWN_FRAMES, cut_short
from classifier.errors import DecodingError

CODECS = (
    *("aac", "aac_latm", "alac", "ape", "flac", "opus", "speex", "tta", "vorbis", "wavpack"),
    *("ac3", "eac3", "amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb", "g726"),
    *("mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "gsm", "gsm_ms"),
    *("wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice"),
    *("adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "pcm_alaw", "pcm_mulaw"),
    *(f"pcm_{kind}" for kind in ("s8", "u8", "s16be", "s16le", "s24be", "s24le", "s32be", "s32le")),
    *(f"pcm_{kind}" for kind in ("f32be", "f32le", "f64be", "f64le")),
)
# Where a place in samples is found to the sample; others are decoded up to it.
SEARCHABLE = ("ape", "flac", "mov", "tta", "wv")
CHECKSUMMED = ("flac", "tta", "wv")  # in every frame
NO_LENGTH = ("aac", "ac3", "amr", "eac3")  # FFmpeg guesses it from the size of the file
PREROLL_SECONDS = 1.0  # decoded before a place: codecs build on what came before, up to 0.3 s of it
KEPT_SECONDS = 2.0  # remembered: the next segment begins a seam before the end of this one
BLOCK_SAMPLES = 2**15  # over all channels, taken at once: what stays in a core's cache
BUFFER_BYTES = 2**16
MAX_PLANES = 8  # with more, PyAV 18.1 reads beyond the memory of a frame from its queue
MAX_FRAME_SAMPLES = 2**22  # per channel, decoded at once: Monkey's Audio has a million
# To find out what a file holds. The rest is for files in which a stream begins late.
OPTIONS = {
    "codec_whitelist": ",".join(CODECS),
    "protocol_whitelist": "none",
    "probesize": str(2**20),
    "analyzeduration": "2000000",  # µs
}
_SCALES = {"u8": 2.0**-7, "s16": 2.0**-15, "s32": 2.0**-31, "flt": 1.0, "dbl": 1.0}


class FfmpegReader:
    """What `SoundfileReader` is for libsndfile; it may be used again for another segment.

    A chain is several Ogg streams one behind the other, whose lengths stand in no one place.
    Raises DecodingError where there is nothing to decode.
    """

    accepts_damaged = False

    def __init__(self, file: Patched, demuxer: str, is_chain: bool = False) -> None:
        self._file, self._demuxer, self._is_chain, self._codec = file, demuxer, is_chain, ""
        self.begin_segment(file.fd)
        try:
            first = self._open()
        except av.FFmpegError as error:
            raise self._undecodable(error) from error
        self.samplerate, self.channels = first.sample_rate, first.layout.nb_channels
        check_bounds(self.samplerate, self.channels)
        self._scale = _SCALES[first.format.name.removesuffix("p")]
        self.frames = UNKNOWN_FRAMES if is_chain else self._promised_frames()

    def begin_segment(self, fd: int) -> None:
        """`fd` is the same file, opened again; what was decoded before counts no more."""
        self._file.fd = fd
        self.level = Levels()
        self.ends_at: int | None = None
        self.truncation_error: DecodingError | None = None

    def mono(self, begin: int, n_frames: int) -> Samples:
        """Frames [begin, begin + n_frames) as one channel; fewer where the file ends."""
        mono = np.empty(max(0, min(n_frames, self.frames - begin)), np.float32)
        done = 0
        try:
            self._move_to(begin)
            while done < len(mono):
                block = self._block(begin + done)[: len(mono) - done]
                if not len(block):
                    self._check_truncation(begin + done, len(mono) - done)
                    break
                part = mono[done : done + len(block)]
                self.level.take(block, part, self._scale)
                done += len(block)
        except av.FFmpegError as error:
            failure = self._undecodable(error)
            if not self.accepts_damaged or begin + done == 0 or self._is_aac_in_wav:
                raise failure from error
            self.ends_at = begin + done
            self.truncation_error = DecodingError(
                "damaged",
                f"cannot be decoded beyond {self.ends_at / self.samplerate:.1f} s "
                f"({_reason(error)}); copy it again from its source",
            )
        return mono[:done]

    def close(self) -> None:
        self._container.close()

    def _open(self) -> av.AudioFrame:
        """From the beginning, up to the first frame."""
        self._file.seek(0)
        options = {**OPTIONS, "format_whitelist": self._demuxer}
        self._container = av.open(
            self._file,
            "r",
            format=self._demuxer,
            options=options,
            metadata_errors="replace",
            buffer_size=BUFFER_BYTES,
        )
        if not self._container.streams.audio:
            raise DecodingError("no_audio", "it holds no sound, or none of a kind that is known")
        self._stream = self._container.streams.audio[0]
        codec = getattr(self._stream.codec_context, "codec", None)
        if codec is None or codec.name not in CODECS:
            name = "unknown" if codec is None else codec.name
            raise DecodingError(
                "unsupported", f"sound of {name} encoding, which is not read; {CONVERT}"
            )
        self._codec = codec.name
        self._stream.codec_context.thread_count = 1
        options = {"max_samples": str(MAX_FRAME_SAMPLES)}
        if self._demuxer in CHECKSUMMED:  # else it passes over frames that were altered
            options["err_detect"] = "crccheck+explode"
        self._stream.codec_context.options = options
        self._kind: tuple[str, int, int] | None = None
        first = self._begin()
        if first is None:
            raise DecodingError(
                "no_audio", "no audio samples follow the header; check what recorded it"
            )
        self._origin, self._end = self._time or Fraction(0), 0
        return first

    def _begin(self) -> av.AudioFrame | None:
        """Decodes a frame from where the container stands; it loses its time in the queue."""
        self._blocks: deque[tuple[int, npt.NDArray[np.number]]] = deque()
        self._fifo = av.AudioFifo()
        self._failure: av.FFmpegError | None = None
        self._decoded: Iterator[av.AudioFrame] = self._container.decode(self._stream)
        first = next(self._decoded, None)
        self._time: Fraction | None = None
        if first is not None:
            if first.pts is not None and first.time_base is not None:
                self._time = first.pts * first.time_base
            self._put(first)
        return first

    def _move_to(self, begin: int) -> None:
        """So that what comes next is `begin`, or lies before it."""
        oldest = self._blocks[0][0] if self._blocks else self._end
        place = begin - round(PREROLL_SECONDS * self.samplerate)
        is_near = oldest <= begin <= self._end + self.samplerate
        if self._is_searchable and place > 0 and not is_near:
            oldest = self._search(place)
        if begin < oldest:
            self._container.close()
            self._open()

    def _search(self, place: int) -> int:
        """The frame to go on from, at `place` or a little before; beyond any where none is found.

        Counted by the times that frames have, which are exact here.
        """
        time_base = self._stream.time_base
        assert time_base is not None
        time = math.floor((self._origin + Fraction(place, self.samplerate)) / time_base)
        with contextlib.suppress(av.FFmpegError):
            self._container.seek(time, stream=self._stream)
            self._begin()
            if self._time is not None:
                self._end = round((self._time - self._origin) * self.samplerate)
                return self._end
        return UNKNOWN_FRAMES

    @property
    def _is_searchable(self) -> bool:
        time_base = self._stream.time_base
        return (
            self._demuxer in SEARCHABLE
            and time_base is not None
            and (self.samplerate * time_base).denominator == 1
        )

    def _block(self, frame: int) -> npt.NDArray[np.number]:
        """(N, channels) from `frame` on; none at the end."""
        for begin, block in self._blocks:
            if begin <= frame < begin + len(block):
                return block[frame - begin :]
        while self._decode_block():
            begin, block = self._blocks[-1]
            if frame < self._end:
                return block[frame - begin :]
        return np.zeros((0, self.channels), np.float32)

    def _decode_block(self) -> bool:
        """Decodes the next block and forgets old ones; whether there was one."""
        n_frames = max(1, BLOCK_SAMPLES // self.channels)
        try:
            while self._fifo.samples < n_frames and (frame := next(self._decoded, None)):
                self._put(frame)
        except av.FFmpegError as error:  # what lies before it comes first
            self._failure = error
        read = self._fifo.read(n_frames, partial=True)
        if read is None:
            if self._failure is not None:
                raise self._failure
            return False
        samples: npt.NDArray[np.number] = read.to_ndarray()
        block = samples.T if read.format.is_planar else samples.reshape(-1, self.channels)
        if block.dtype == np.uint8:
            block = block.astype(np.int16) - 128
        self._blocks.append((self._end, block))
        self._end += len(block)
        while self._end - self._blocks[0][0] - len(self._blocks[0][1]) > (
            KEPT_SECONDS * self.samplerate
        ):
            self._blocks.popleft()
        return True

    def _put(self, frame: av.AudioFrame) -> None:
        """Raises DecodingError where it is of another kind than those before it."""
        kind = (frame.format.name, frame.sample_rate, frame.layout.nb_channels)
        if kind != self._kind:
            if self._kind is not None:
                raise DecodingError(
                    "unsupported",
                    f"its sample rate or number of channels changes on the way; {CONVERT}",
                )
            if frame.format.is_planar and frame.layout.nb_channels > MAX_PLANES:
                raise DecodingError(
                    "unsupported", f"more than {MAX_PLANES} channels of {self._codec}; {CONVERT}"
                )
            self._kind = kind
        frame.pts = None  # gaps between them are not filled
        self._fifo.write(frame)

    def _promised_frames(self) -> int:
        stream, container = self._stream, self._container
        is_broadcast = self._demuxer == "asf" and asf_end(self._file.fd) is None
        if self._demuxer in NO_LENGTH or self._is_aac_in_wav or is_broadcast:
            return UNKNOWN_FRAMES
        if stream.duration and stream.time_base:
            seconds = stream.duration * stream.time_base
        elif container.duration:
            seconds = Fraction(container.duration, av.time_base)
        else:
            return UNKNOWN_FRAMES
        return math.floor(seconds * self.samplerate + Fraction(1, 2))

    def _check_truncation(self, frame: int, n_missing: int) -> None:
        """Raises DecodingError where reading has ended before the promised end, unless it may."""
        if self.frames >= UNKNOWN_FRAMES or n_missing <= SHORT_SECONDS * self.samplerate:
            return
        error = cut_short(self.frames, frame, self.samplerate)
        if not self.accepts_damaged or frame == 0:
            raise error
        self.truncation_error, self.ends_at = error, frame

    def _undecodable(self, error: av.FFmpegError) -> DecodingError:
        """Raises MemoryError where that was the reason."""
        if isinstance(error, MemoryError):
            raise error
        if self._is_chain:
            return DecodingError(
                "unsupported", f"several Ogg streams one behind the other that differ; {CONVERT}"
            )
        if isinstance(error, av.error.LookupError | av.error.PatchWelcomeError):
            return DecodingError("unsupported", f"not read ({_reason(error)}); {CONVERT}")
        if self._is_aac_in_wav:
            return DecodingError(
                "unsupported",
                "AAC in a WAV, which does not say where its frames begin; export it as M4A or FLAC",
            )
        return DecodingError(
            "damaged",
            f"the audio cannot be decoded ({_reason(error)}); copy it again from its source",
        )

    @property
    def _is_aac_in_wav(self) -> bool:
        return self._demuxer == "wav" and self._codec == "aac"


def _reason(error: av.FFmpegError) -> str:
    return f"FFmpeg: {(error.strerror or str(error)).strip().rstrip('.')}"
