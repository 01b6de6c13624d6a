"""Folders in the layout of transformers with small random models."""

import json
import logging

import torch

TINY = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
LABELS = {"id2label": {0: "jump", 1: "run", 2: "swim"}}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
SIDE = 32


def build(kind, *, classifier=True, seed=0):
    """A random model of a kind."""
    import transformers as tr

    torch.manual_seed(seed)
    labels = LABELS if classifier else {}
    vit = {"image_size": SIDE, "num_frames": 4, "intermediate_size": 32, **TINY, **labels}
    if kind == "videomae":
        name = "VideoMAEForVideoClassification" if classifier else "VideoMAEForPreTraining"
        decoder = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
        decoder = {f"decoder_{key}": value for key, value in decoder.items()}
        config = tr.VideoMAEConfig(
            **vit, **decoder, decoder_intermediate_size=16, use_mean_pooling=classifier
        )
    elif kind == "timesformer":
        name = "TimesformerForVideoClassification" if classifier else "TimesformerModel"
        config = tr.TimesformerConfig(**vit)
    elif kind == "vivit":
        name = "VivitForVideoClassification" if classifier else "VivitModel"
        config = tr.VivitConfig(tubelet_size=[2, 16, 16], **vit)
    elif kind == "vjepa2":
        name = "VJEPA2ForVideoClassification" if classifier else "VJEPA2Model"
        pred = {"hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 1}
        pred = {f"pred_{key}": value for key, value in pred.items()}
        pred |= {"crop_size": SIDE, "frames_per_clip": 4, "mlp_ratio": 2, "num_pooler_layers": 1}
        config = tr.VJEPA2Config(pred_num_mask_tokens=1, **pred, **TINY, **labels)
    elif kind == "clap":
        name, config = "ClapModel", _clap(tr)
    else:
        name, config = "PeAudioVideoModel", _pe(tr)
    return getattr(tr, name)(config).eval()


def _clap(tr):
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    audio = {"patch_embeds_hidden_size": 8, "hidden_size": 16, "depths": [1, 1], "window_size": 4}
    audio |= {"num_hidden_layers": 2, "num_attention_heads": [2, 2], "projection_dim": 16}
    return tr.ClapConfig(
        text_config={**text, "intermediate_size": 32}, audio_config=audio, projection_dim=16
    )


def _pe(tr):
    """PE-AV with a ViT for its image encoder, which is one of timm."""
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    encoder = {"hidden_size": 16, "head_dim": 8, **small}
    dac = {"encoder_hidden_size": 4, "downsampling_ratios": [2, 8, 10, 12], "codebook_dim": 8}
    dac |= {"codebook_size": 8, "n_codebooks": 1, "decoder_hidden_size": 16}
    vision = {"image_size": SIDE, "patch_size": 16, "hidden_size": 16, "num_labels": 16, **small}
    tokens = {f"{name}_token_id": 0 for name in ("pad", "bos", "eos", "cls", "sep")}
    return tr.PeAudioVideoConfig(
        text_config={"hidden_size": 16, "vocab_size": 50, **small, **tokens},
        audio_video_config={
            **encoder,
            "audio_config": {**encoder, "dac_config": dac},
            "video_config": {**encoder, "vision_config": vision},
        },
    )


def save(folder, model, processor=None, **files):
    """Save a model, and JSON files of its processors: name without suffix -> content."""
    level = logging.getLogger("transformers").level
    logging.getLogger("transformers").setLevel(logging.ERROR)
    model.save_pretrained(folder)
    logging.getLogger("transformers").setLevel(level)
    if processor is not None:
        files["video_preprocessor_config"] = processor
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder
