"""What can be wrong with a code. Refusals of a guess keep their effects: the counted guess, the lock, the audit row."""

from contactship_common.errors import ContactshipError, TooManyRequests, Unavailable, Unprocessable


class PhoneInvalid(Unprocessable):
    code, title = "otp_phone_invalid", "This is not a valid phone number; write it with + and the country code"


class PhoneNotMobile(Unprocessable):
    code, title = "otp_phone_not_mobile", "Codes are sent to mobile numbers only"


class CountryNotAllowed(Unprocessable):
    code, title = "otp_country_not_allowed", "No codes are sent to this country"


class OtpRateLimited(TooManyRequests):
    code, title = "otp_rate_limited", "Too many codes for this number; wait"


class OtpNotConfigured(Unavailable):
    code, title = "otp_not_configured", "Codes are not configured here (OTP_SECRET)"


class _Refused(ContactshipError):
    status = 400
    keeps_effects = True


class OtpInvalid(_Refused):
    code, title = "otp_invalid", "The code is wrong"


class OtpExpired(_Refused):
    code, title = "otp_expired", "The code has expired or was replaced by a newer one"


class OtpLocked(_Refused):
    code, title = "otp_locked", "Too many wrong codes; wait before asking for a new one"


class OtpUsed(_Refused):
    code, title = "otp_used", "The code has been used"


class OtpNotFound(_Refused):
    code, title = "otp_not_found", "There is no code with this correlationId"
