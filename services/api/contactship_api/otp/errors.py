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


class OtpRefused(ContactshipError):
    """Any of those below."""

    status = 400
    keeps_effects = True


class OtpInvalid(OtpRefused):
    code, title = "otp_invalid", "The code is wrong"


class OtpExpired(OtpRefused):
    code, title = "otp_expired", "The code has expired, was replaced by a newer one or could not be sent"


class OtpLocked(OtpRefused):
    code, title = "otp_locked", "Too many wrong codes; wait before asking for a new one"


class OtpUsed(OtpRefused):
    code, title = "otp_used", "The code has been used"


class OtpNotFound(OtpRefused):
    code, title = "otp_not_found", "There is no code with this correlationId"
