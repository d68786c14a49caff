"""Makes audit/export/testdata/ocsf.json from a checkout of github.com/ocsf/ocsf-schema
(Apache License 2.0): of the classes that we export, and the objects in them, what can be
checked by a program. Descriptions are left out.

    python3 scripts/ocsf.py CHECKOUT > audit/export/testdata/ocsf.json
"""
import json, os, sys

root = sys.argv[1]
CLASSES = ["application/datastore_activity", "application/api_activity", "application/application_lifecycle", "iam/authentication"]
load = lambda path: json.load(open(os.path.join(root, path)))
dictionary, categories = load("dictionary.json"), load("categories.json")["attributes"]

def merge(into, attributes):
    for name, attribute in attributes.items():
        if name == "$include":
            for path in attribute if isinstance(attribute, list) else [attribute]:
                if path.startswith("profiles/"):
                    continue  # only of events that name the profile, and ours name none
                merge(into, load(path)["attributes"])
            continue
        have = into.setdefault(name, {})
        for key, value in attribute.items():
            if key == "enum":
                have["enum"] = {**have.get("enum", {}), **value}
            else:
                have[key] = value

def whole(path, folder):
    """The attributes and constraints of a class or object with those that it extends."""
    d = load(path)
    attributes, constraints = {}, {}
    if "extends" in d:
        attributes, constraints, _ = whole(find(d["extends"], folder), folder)
    merge(attributes, d.get("attributes", {}))
    if "constraints" in d:
        constraints = d["constraints"]
    return attributes, constraints, d

def find(name, folder):
    for base, _, files in os.walk(os.path.join(root, folder)):
        if name + ".json" in files:
            return os.path.relpath(os.path.join(base, name + ".json"), root)
    raise SystemExit("no " + name)

objects, todo = {}, []
def compact(attributes, constraints):
    out = {}
    for name, a in sorted(attributes.items()):
        d = dictionary["attributes"].get(name, {})
        kind = a.get("object_type") or a.get("type") or d.get("type")
        if kind in ("object_t", None):
            kind = d.get("object_type", "object")
        one = {"type": kind, "requirement": a.get("requirement", "optional")}
        if a.get("is_array", d.get("is_array")):
            one["array"] = True
        enum = {**d.get("enum", {}), **a.get("enum", {})}
        if enum:
            one["enum"] = {k: v.get("caption", k) for k, v in enum.items()}
        if kind not in dictionary["types"]["attributes"] and kind not in objects:
            objects[kind] = None
            todo.append(kind)
        out[name] = one
    return {"attributes": out, "constraints": constraints}

classes = {}
for path in CLASSES:
    attributes, constraints, d = whole("events/" + path + ".json", "events")
    category = path.split("/")[0]
    uid = categories[category]["uid"] * 1000 + d["uid"]
    attributes["class_uid"]["enum"] = {str(uid): {"caption": d["caption"]}}
    attributes["category_uid"]["enum"] = {str(categories[category]["uid"]): {"caption": categories[category]["caption"]}}
    classes[str(uid)] = compact(attributes, constraints)
while todo:
    name = todo.pop()
    attributes, constraints, _ = whole(find(name, "objects"), "objects")
    objects[name] = compact(attributes, constraints)

keep = {"actor", "user", "group", "session", "metadata", "product", "database", "table", "query_info", "network_endpoint", "api", "service",
        "request", "response", "policy", "authorization", "resource_details", "idp", "object", "unmapped", "account", "feature"}
types = {k: {x: v[x] for x in ("type", "regex", "max_len", "range", "values") if x in v} for k, v in dictionary["types"]["attributes"].items()}
print(json.dumps({"version": load("version.json")["version"], "types": types, "classes": classes,
                  "objects": {k: v for k, v in sorted(objects.items()) if k in keep}}, separators=(",", ":"), sort_keys=True))
