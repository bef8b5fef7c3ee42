"""The method and its citation, for a model card."""

from __future__ import annotations

PAPER = "https://arxiv.org/abs/2408.13518"

OBJECTIVES = {
    "dpo": ("Direct Preference Optimization", "2305.18290"),
    "ipo": ("Identity Preference Optimization", "2310.12036"),
    "simpo": ("Simple Preference Optimization", "2405.14734"),
    "cpo": ("Contrastive Preference Optimization", "2401.08417"),
    "orpo": ("Odds Ratio Preference Optimization", "2403.07691"),
    "kto": ("Kahneman-Tversky Optimization", "2402.01306"),
    "rrhf": ("Rank Responses to align Human Feedback", "2304.05302"),
}
"""Names and arXiv ids of the losses beside `sepo`."""

METHOD = f"""\
[Selective Preference Optimization]({PAPER}) (SePO) trains a small oracle with DPO and reads it, together with the \
reference model that it started from, as a token-level reward, `beta * (log p_oracle - log p_ref)`. It selects the \
tokens of the highest reward in each chosen and of the lowest in each rejected response, and trains the policy on \
those alone. Every stage was made with `sepo`; the manifest `sepo.json` beside this card has the hashes of all \
inputs."""

CITATION = """\
```bibtex
@inproceedings{yang2025selective,
  title     = {Selective Preference Optimization via Token-Level Reward Function Estimation},
  author    = {Yang, Kailai and Liu, Zhiwei and Xie, Qianqian and Huang, Jimin and Min, Erxue and Ananiadou, Sophia},
  booktitle = {Proceedings of the 2025 Conference on Empirical Methods in Natural Language Processing},
  year      = {2025},
  note      = {arXiv:2408.13518}
}
```"""
