"""What a DICOM element may hold, by its meaning (PS3.6) and its value representation (PS3.5 6.2).

What has no rule here is judged as text, and what is no text is a finding: nothing passes unseen.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.datadict import dictionary_keyword
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID_dictionary

from medsynth.identity.finding import Found, without_words
from medsynth.identity.shapes import is_foreign_uid, judge, shapes, valid_date
from medsynth.identity.vocabulary import standard_terms

# PS3.15 Table E.1-1: what the basic profile empties or takes away because it says who or where.
_WHO = re.compile(
    r"Institution|Address|Telephone|Telecom|PatientID|PatientIDs|AccessionNumber|IssuerOf|Physician|OperatorIdent|Person"
    r"|MedicalRecordLocator|PatientBirthPlace|BirthName|PatientName|MotherBirthName|Responsible|MilitaryRank|BranchOfService"
    r"|CountryOfResidence|RegionOfResidence|Insurance|Religious|Occupation|PatientLocation|Residence|AdmissionID"
    r"|ServiceEpisode|PlacerOrder|FillerOrder|OrderEntered|OrderCallback|RequestingService|^StudyID$|ProcedureStepID$"
    r"|RequestedProcedureID|^AuthorObserver|ContainerIdentifier$|SpecimenIdentifier$|ClinicalTrial|PerformedLocation"
    r"|PerformedStation|ScheduledStation|ProcedureStepLocation|ProcedureLocation|InterpretationID|^ResultsID|ResultsIDIssuer"
    r"|VisitComments|PatientComments|AdditionalPatientHistory|PersonName|Custodial|CurrentPatient|PatientTransport"
    r"|NamesOfIntendedRecipients|DistributionName|ReviewerName|ContentCreatorName|ConsultingP|Recorder|Interpreter"
    r"|Transcriber|TextComments|ArchiveRequested|DetectorCalib.*ID$|InterpretationAuthor|Approver"
)
_PATIENT = re.compile(
    r"EthnicGroup|Allergies|PatientState|SpecialNeeds|SmokingStatus|PregnancyStatus|Medical(Alerts|Cond)"
)
_DEVICE = re.compile(
    r"SerialNumber|StationName|GantryID|DetectorID|DeviceID|GeneratorID|PlateID|CassetteID|DigitizerID|CaptureDeviceID"
    r"|HardcopyDevice|DeviceLabel|DeviceName|XRaySourceID|ScheduledStudyLocationAETitle|NetworkID|StationAETitle|UnitName"
    r"|MachineName|UniqueDeviceIdentifier|DeviceIdentifier"
)
_COIL = re.compile(r"CoilName$|MultiCoilElementName|CoilManufacturerName")
# Their versions and models are numbers and days of the maker's own.
_MAKE = re.compile(r"SoftwareVersions?$|ManufacturerModelName$")
# Coils have codes of one word for names; a word of one's own in capitals cannot be told from them.
_COIL_CODE = re.compile(r"[A-Z0-9][A-Z0-9_.:;/+*-]{0,15}")
_BIRTH = re.compile(r"Birth|Death")
_PSEUDONYM = re.compile(
    r"[pc][0-9a-f]{16}|synthetic-[0-9a-f]{16}|anon(ymous|ymized|ymised)?|(urn:)?removed|none|unknown", re.IGNORECASE
)
# Who or what was done, in text of which Clean Descriptors leaves the plain words (PS3.15 Table E.1-1).
_DESCRIPTORS = re.compile(
    r"AdditionalPatientHistory|PatientComments|VisitComments|PatientState|SpecialNeeds|Allergies|Medical(Alerts|Cond)"
    r"|ClinicalTrial\w*Description|Occupation|EthnicGroup"
)
_OPTION_WORDS, _OPTION_DEVICE, _OPTION_PATIENT = "113105", "113109", "113108"  # PS3.16 CID 7050
_MADE_UP_DAYS = ("19000101", "00010101", "")
_WRITERS = (  # (0002,0012): toolkits, one value for all who use them
    "1.2.826.0.1.3680043.8.498.",  # pydicom
    "1.2.826.0.1.3680043.10.511.",  # highdicom
    "1.2.826.0.1.3680043.2.1143.",  # GDCM
    "1.2.276.0.7230010.3.0.3.",  # DCMTK
    "1.2.40.0.13.1.",  # dcm4che
)
_LONG_NUMBERS = re.compile(  # whose numbers may have seven digits and more
    r"Dose|Activity|Length|Offset|Counts|Pixel(Value|Padding)|PixelData|Frequency|Time$|Duration|Rescale|Slope|Intercept"
    r"|RRValue|LUT|MappedValue|CRC|Checksum"
)
_LONG_NUMBER = 10**6
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|[+-]?inf", re.ASCII)
_OLDEST = 89  # years; HIPAA 164.514(b)(2)(i)(C)

TEXT = frozenset(("AE", "CS", "LO", "LT", "SH", "ST", "UC", "UT"))
NUMBERS = frozenset(("DS", "IS", "FL", "FD", "SL", "SS", "SV", "UL", "US", "UV"))
BYTES = frozenset(("OB", "OW", "OD", "OF", "OL", "OV", "UN"))


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a data set says of its own de-identification (PS3.3 C.12.1.1.7, PS3.15 Annex E).

    Args:
        dates_shifted: Longitudinal Temporal Information Modified is MODIFIED: dates and times in elements are not
            the patient's.
        options: code values of De-identification Method Code Sequence (PS3.16 CID 7050).
    """

    dates_shifted: bool = False
    options: frozenset[str] = frozenset()


def judge_element(tag: BaseTag, vr: str, values: Sequence[str], said: Said) -> list[Found]:
    """What the values of a public element that is no sequence and no bytes give away.

    Args:
        tag: of the DICOM dictionary.
        vr: value representation.
        values: as text.
        said: of the data set.
    """
    keyword = dictionary_keyword(tag)
    found: list[Found] = []
    for value in (value.strip(" \0\t\r\n") for value in values):
        if value:
            found += _judge_value(tag, keyword, vr, value, said)
    return found


def _judge_value(tag: BaseTag, keyword: str, vr: str, value: str, said: Said) -> list[Found]:
    if vr in ("DA", "DT", "TM"):
        return _judge_moment(keyword, vr, value, said)
    if vr == "UI":
        return _judge_uid(tag, value)
    if vr == "AS":
        # Under the option 90 stands for all of 90 and more (HIPAA 164.514(b)(2)(i)(C)).
        return [] if value == "090Y" and _OPTION_PATIENT in said.options else _judge_age(value)
    if vr in NUMBERS:
        return _judge_number(keyword, value)
    if vr == "AT":
        return []
    if _PSEUDONYM.fullmatch(value.replace("^", "")):
        return []
    if vr == "PN":
        return [Found("name", value)] if any(letter.isalnum() for letter in value) else []
    if vr == "UR":
        return [Found("url", value)]
    if _DEVICE.search(keyword):
        if _OPTION_DEVICE not in said.options:
            return [Found("device", value)]
        return [found for found in shapes(value) if found.kind in ("name", "email", "phone")]
    if _COIL.search(keyword) and _OPTION_DEVICE in said.options and _COIL_CODE.fullmatch(value):
        return shapes(value)
    if _MAKE.search(keyword) and _OPTION_DEVICE in said.options:
        return [found for found in judge(value.replace("_", " ")) if found.kind not in ("number", "date", "uid")]
    if _DESCRIPTORS.search(keyword) and _OPTION_WORDS in said.options:
        return judge(value.replace("_", " "))
    if _WHO.search(keyword) or (_PATIENT.search(keyword) and _OPTION_PATIENT not in said.options):
        return [*shapes(value), Found("element", value)]
    if keyword in ("BurnedInAnnotation", "RecognizableVisualFeatures"):
        return [] if value == "NO" else [Found("declared", value)] if value == "YES" else judge(value)
    found = judge(value.replace("_", " "))
    return without_words(found, standard_terms()) if vr == "CS" else found


def _judge_moment(keyword: str, vr: str, value: str, said: Said) -> list[Found]:
    digits = value.replace("-", "").replace(":", "").replace(".", "").replace("+", "").strip()
    if not digits.isdigit():
        return judge(value) or [Found("date" if vr != "TM" else "time", value)]
    if vr != "TM" and value in _MADE_UP_DAYS:
        return []
    if _BIRTH.search(keyword):
        return [Found("birth", value)]
    sound = _is_time(value) if vr == "TM" else _is_day(value[:8])
    if said.dates_shifted and sound:
        return []
    if vr == "TM":
        return [] if not digits.strip("0") else [Found("time", value)]
    return [Found("date", value)]


def _is_day(text: str) -> bool:
    digits = text.replace(".", "").replace("-", "")
    return len(digits) == 8 and valid_date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))


def _is_time(text: str) -> bool:
    return re.fullmatch(r"([01]\d|2[0-3])(:?[0-5]\d(:?[0-6]\d(\.\d{1,6})?)?)?(-.*)?", text) is not None


def _judge_uid(tag: BaseTag, value: str) -> list[Found]:
    if value in UID_dictionary:
        return []
    if not re.fullmatch(r"[\d.]+", value):
        return judge(value) or [Found("uid", value)]
    if tag == Tag("ImplementationClassUID") and value.startswith(_WRITERS):
        return []
    return [Found("uid", value)] if is_foreign_uid(value) else []


def _judge_age(value: str) -> list[Found]:
    match = re.fullmatch(r"(\d{1,3})([DWMY]?)", value)
    if match is None:
        return [Found("words", value)]
    return [Found("age", value)] if match[2] in ("Y", "") and int(match[1]) > _OLDEST else []


def judge_numbers(values: Sequence[str], packed: bool = False) -> list[Found]:
    """What numbers of a private element give away: whole ones of seven digits and more, and what is no number.

    Args:
        values: as text.
        packed: flags may be packed into the upper half of a number, or a billion be added to it.
    """
    bare = [value for value in (value.strip(" \0") for value in values) if value]
    return [found for value in bare if not (packed and _is_packed(value)) for found in _judge_number("", value)]


def _is_packed(value: str) -> bool:
    return value.isdigit() and (int(value) % 2**16 == 0 or 10**9 <= int(value) <= 10**9 + 10**5)


def _judge_number(keyword: str, value: str) -> list[Found]:
    if not _NUMBER.fullmatch(value):
        return judge(value) or [Found("words", value)]
    number = float(value)
    long = number == number and abs(number) >= _LONG_NUMBER and not _LONG_NUMBERS.search(keyword)
    # A number like 5.1e30 is no card's and no patient's.
    return [Found("number", value.split(".")[0])] if long and abs(number) < 10**15 else []
