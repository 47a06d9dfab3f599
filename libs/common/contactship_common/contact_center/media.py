"""What kind of thing an attachment is."""

from urllib.parse import urlsplit

from contactship_common.models import ContentType

_BY_ENDING = {
    ContentType.IMAGE: ("jpg", "jpeg", "png", "gif", "webp", "heic", "bmp"),
    ContentType.AUDIO: ("mp3", "ogg", "oga", "opus", "m4a", "aac", "amr", "wav"),
    ContentType.VIDEO: ("mp4", "3gp", "mov", "webm", "mkv", "avi"),
}
_ENDINGS = {ending: kind for kind, endings in _BY_ENDING.items() for ending in endings}
_BY_WORD = {
    "image": ContentType.IMAGE,
    "sticker": ContentType.IMAGE,
    "audio": ContentType.AUDIO,
    "voice": ContentType.AUDIO,
    "ptt": ContentType.AUDIO,
    "video": ContentType.VIDEO,
}


def content_type_of(media_url: str | None, told: str | None = None) -> ContentType:
    """By what the sender says (`image/png`, `voice_note`), else by the ending of the URL; TEXT without a URL."""
    if media_url is None:
        return ContentType.TEXT
    said = (told or "").lower()
    for word, kind in _BY_WORD.items():
        if word in said:
            return kind
    try:
        path = urlsplit(media_url).path
    except ValueError:
        return ContentType.FILE
    return _ENDINGS.get(path.rpartition(".")[2].lower(), ContentType.FILE)
