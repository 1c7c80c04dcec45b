"""Practice, departments and providers as athenaNet v1 shows them.

Types wander as they do in the real API: a department id is text here, provider ids and NPIs are numbers, a
specialty id is text only where a number would lose its leading zero. Missing values are left out. Now and then a
record has a key that no document mentions.
"""

from typing import Any

from athena_fusion.sandbox.world import FIRST_DAY, PRACTICE_NAME, Department, Provider, World


def practice(world: World) -> dict[str, Any]:
    """The row of `practiceinfo`."""
    return {
        "practiceid": world.practice_id,
        "name": PRACTICE_NAME,
        "golivedate": f"{FIRST_DAY:%m/%d/%Y}",
        "experiencemode": "1.0",
        "hascollector": True,
        "hasclinicals": True,
        "hascommunicator": True,
        "iscoordinatorsender": False,
        "iscoordinatorreceiver": False,
        "publicnames": [PRACTICE_NAME],
    }


def department(world: World, record: Department) -> dict[str, Any]:
    """A department; its entity is seen only from the provider group."""
    entity = world.entity(record.entity_id)
    row: dict[str, Any] = {
        "departmentid": record.id,
        "name": record.name.replace(" ", "_"),
        "patientdepartmentname": record.name,
        "providergroupid": record.provider_group_id,
        "providergroupname": entity.name,
        "servicedepartment": True,
        "ishospitaldepartment": False,
        "placeofservicetypeid": "11",
        "placeofservicetypename": "OFFICE",
        "placeofservicefacility": False,
        "chartsharinggroupid": "1",
        "timezone": -4,
        "timezoneoffset": -5,
        "timezonename": "US/Eastern",
        "doesnotobservedst": False,
        "clinicals": "ON",
        "address": f"{entity.ordinal} Harbor Street",
        "city": "Boston",
        "state": "MA",
        "zip": "02210",
        "medicationhistoryconsent": False,
    }
    if entity.index % 2 == 0:
        row["phone"] = "(555) 555-0100"
    else:
        row["ecommercestatus"] = "0"
    return row


def provider(world: World, record: Provider, *, all_ids: bool) -> dict[str, Any]:
    """A provider by its canonical id; `all_ids` adds the other ids of the same person."""
    row: dict[str, Any] = {
        "providerid": record.id,
        "lastname": record.last_name,
        "displayname": " ".join(filter(None, (record.first_name, record.last_name))),
        "schedulingname": f"{record.last_name}_{record.first_name}".rstrip("_").replace(" ", "_"),
        "npi": record.npi,
        "specialty": record.specialty,
        "specialtyid": record.specialty_id if record.specialty_id[0] == "0" else int(record.specialty_id),
        "entitytype": record.entity_type,
        "billable": record.entity_type == "Person",
        "hideinportal": False,
        "homedepartment": f"{PRACTICE_NAME} {record.entity_id} Main",
        "usualdepartmentid": f"{record.entity_id}1",
        "createencounteroncheckin": True,
    }
    if record.first_name:
        row |= {"firstname": record.first_name, "providertypeid": "MD", "providertype": "MD"}
    if all_ids:
        others = [str(p.id) for p in world.providers if p.canonical_id == record.id and p.id != record.id]
        if others:
            row["otherprovideridlist"] = others
    return row
