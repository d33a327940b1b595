"""Flags of openai-whisper and whisper-ctranslate2 that this command line has under another name, or
not at all: what the error says to people who type one.

docs/command_line.md has all their flags; its tests compare it with openai-whisper and with this.
"""

_SPEAKERS = "who is speaking is not detected"
_MICROPHONE = "pipe 16-bit mono samples at 16 kHz into `live -`"

FOREIGN_FLAGS = {
    "--model_dir": "use --cache_dir DIR",
    "--model_directory": "use --model DIR",
    "--local_files_only": "set the environment variable HF_HUB_OFFLINE=1",
    "--fp16": "use --dtype float16 or --dtype float32",
    "--compute_type": "use --dtype float32, float16 or bfloat16",
    "--device_index": "use --device gpu:N",
    "--verbose": "segments are printed as they are found; `> /dev/null` drops them",
    "--pretty_json": "`python -m json.tool FILE` indents a file",
    "-p": "`python -m json.tool FILE` indents a file",
    "--print_colors": "the page colours words by confidence; --word_timestamps True writes it",
    "--batched": "use --batch_size N",
    "--multilingual": "each recording has one language; give its parts one by one",
    "--vad_filter": "use --vad",
    "--log_prob_threshold": "use --logprob_threshold",
    "--max_new_tokens": "use --sample_len",
    "--hf_token": _SPEAKERS,
    "--speaker_name": _SPEAKERS,
    "--speaker_num": _SPEAKERS,
    "--live_transcribe": "use the command `live`",
    "--live_volume_threshold": "use --vad_threshold of the command `live`",
    "--live_input_device": _MICROPHONE,
    "--live_input_device_sample_rate": _MICROPHONE,
}
