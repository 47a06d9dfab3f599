"""Hides personal data in free text, in fields and in JSON: for language models, logs and answers to those who may not
see them.

Phone numbers keep their last four digits (`***7890`), as cards do; e-mail addresses their ends and host
(`j***z@host`); national ids and codes nothing (`***`). Masking errs on the side of hiding: what looks like a phone
number in any country is masked, while plain prices, dates, times, years, versions, order numbers and ids of rows stay
readable. Masked text is left alone when it is masked again, and hostile text costs no more than plain text.
"""

from contactship_common.masking.emails import mask_email
from contactship_common.masking.payloads import mask_data
from contactship_common.masking.phones import mask_phone
from contactship_common.masking.texts import mask_pii

__all__ = ["mask_data", "mask_email", "mask_phone", "mask_pii"]
