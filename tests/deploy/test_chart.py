"""What the chart renders, by the real helm."""

import json
import re
from pathlib import Path

import pytest
import yaml
from manifests import Document, Manifests, Refused, Render

from skhost.settings import Settings

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # one part of a DNS name
EXAMPLES = sorted((Path(__file__).parents[2] / "deploy" / "helm" / "examples").glob("*.yaml"))


def selectors(manifests: Manifests) -> list[tuple[str, Document]]:
    services = [(d["metadata"]["name"], d["spec"]["selector"]) for d in manifests.of("Service")]
    return services + [
        (d["metadata"]["name"], d["spec"]["selector"]["matchLabels"])
        for kind in ("Deployment", "StatefulSet", "PodDisruptionBudget")
        for d in manifests.of(kind)
    ]


def settings_in(environment: dict[str, object]) -> set[str]:
    prefix = "SKHOST_"
    return {n.removeprefix(prefix).lower() for n in environment if n.startswith(prefix)}


# names and selectors


@pytest.mark.parametrize(
    "release",
    ["rel", "skhost", "a-release-with-quite-a-long-name-of-fifty-letters-x", "dotted.name"],
)
def test_names_are_dns_labels_with_room_for_what_controllers_add(
    render: Render, release: str
) -> None:
    manifests = render(release=release)
    for document in manifests.documents:
        name = document["metadata"]["name"]
        assert LABEL.fullmatch(name), name
        assert len(name) <= 52, name
        for value in document["metadata"]["labels"].values():
            assert len(value) <= 63, value


def test_a_release_named_like_the_chart_does_not_repeat_the_name(render: Render) -> None:
    assert render(release="skhost").get("Deployment", "api")["metadata"]["name"] == "skhost-api"


def test_each_selector_finds_exactly_its_own_pods(render: Render) -> None:
    manifests = render("--set", "podDisruptionBudget.enabled=true")
    for name, selector in selectors(manifests):
        component = selector["app.kubernetes.io/component"]
        found = [
            pod_name
            for pod_name, pod in manifests.pods()
            if selector.items() <= pod["metadata"]["labels"].items()
        ]
        assert found == [f"rel-skhost-{component}"], name


def test_two_releases_in_a_namespace_share_nothing_by_name(render: Render) -> None:
    one, other = (
        {(d["kind"], d["metadata"]["name"]) for d in render(release=r).documents}
        for r in ("one", "other")
    )
    assert not one & other


def test_the_service_leads_to_the_port_that_the_server_listens_on(defaults: Manifests) -> None:
    (port,) = defaults.get("Service", "skhost")["spec"]["ports"]
    container = defaults.container("api")
    (listening,) = [p for p in container["ports"] if p["name"] == port["targetPort"]]
    assert str(listening["containerPort"]) == defaults.env("api")["SKHOST_PORT"]


# pods


@pytest.mark.parametrize("values", [None, *EXAMPLES], ids=lambda v: v.stem if v else "defaults")
def test_every_pod_fits_the_restricted_profile(render: Render, values: Path | None) -> None:
    manifests = render(*(() if values is None else ("--values", str(values))))
    pods = list(manifests.pods())
    assert {name.rsplit("-", 1)[1] for name, _ in pods} >= {"api", "worker", "test"}
    for name, pod in pods:
        assert_restricted(name, pod["spec"])


def assert_restricted(name: str, spec: Document) -> None:
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True, name
    assert security["runAsUser"] > 0, name
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
    assert spec["automountServiceAccountToken"] is False, name
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
    for volume in spec.get("volumes", []):
        assert set(volume) - {"name"} <= {"emptyDir", "persistentVolumeClaim"}, name
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False, name
        assert own["readOnlyRootFilesystem"] is True, name
        assert own["capabilities"] == {"drop": ["ALL"]}, name
        assert "limits" in container["resources"], name


def test_no_pod_gets_variables_made_from_services(defaults: Manifests) -> None:
    # A service called skhost would set SKHOST_PORT=tcp://..., which is a setting.
    for name, pod in defaults.pods():
        assert pod["spec"]["enableServiceLinks"] is False, name


def test_a_stopped_pod_has_time_to_leave_the_endpoints_and_to_drain(render: Render) -> None:
    times = "api.drainSeconds=120,api.preStopSeconds=10,api.leaveSeconds=20"
    manifests = render("--set", times)
    spec = manifests.get("Deployment", "api")["spec"]["template"]["spec"]
    container = manifests.container("api")
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "10"]
    assert manifests.env("api")["SKHOST_DRAIN_TIMEOUT_S"] == "120"
    assert manifests.env("api")["SKHOST_LEAVE_S"] == "20"
    assert "SKHOST_LEAVE_S" not in manifests.env("worker")
    assert spec["terminationGracePeriodSeconds"] >= 10 + 20 + 120 + 10


def test_the_start_has_as_long_as_loading_the_base_takes(render: Render) -> None:
    probe = render("--set", "api.startupSeconds=600").container("api")["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 600
    assert probe["httpGet"]["path"] == "/readyz"


def test_a_server_that_is_not_ready_is_not_killed_for_it(defaults: Manifests) -> None:
    container = defaults.container("api")
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_threads_follow_the_processor_limit_unless_they_are_set(render: Render) -> None:
    given = render().env("api")["SKHOST_THREADS"]
    assert given["resourceFieldRef"]["resource"] == "limits.cpu"
    assert render("--set", "settings.threads=3").env("api")["SKHOST_THREADS"] == "3"
    worker = render("--set", "settings.worker_threads=2").env("worker")
    assert worker["SKHOST_WORKER_THREADS"] == "2"
    assert "SKHOST_THREADS" not in worker


def test_a_gpu_brings_the_cuda_image_its_resource_and_the_device(render: Render) -> None:
    manifests = render("--set", "api.gpu.count=2")
    container = manifests.container("api")
    assert container["image"].endswith("-cuda")
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert container["resources"]["limits"]["memory"] == "4Gi"
    assert manifests.env("api")["SKHOST_DEVICE"] == "cuda"
    assert manifests.container("worker")["image"].endswith("-cpu")
    assert "nvidia.com/gpu" not in manifests.container("worker")["resources"]["limits"]


# settings


def test_images_can_be_taken_by_their_digest(render: Render) -> None:
    tag = f"1.0@sha256:{'0' * 64}"
    manifests = render("--set", f"image.tag={tag},valkey.image.tag={tag}")
    for component, repository in (("api", "skhost"), ("worker", "skhost")):
        assert manifests.container(component)["image"] == f"{repository}:{tag}"
    stateful = manifests.get("StatefulSet", "valkey")["spec"]["template"]["spec"]
    assert stateful["containers"][0]["image"] == f"valkey/valkey:{tag}"


def test_every_variable_of_ours_is_a_setting(render: Render) -> None:
    for manifests in (render(), *(render("--values", str(path)) for path in EXAMPLES)):
        for component in ("api", "worker"):
            unknown = settings_in(manifests.env(component)) - set(Settings.model_fields)
            assert not unknown, component


def test_the_servers_variables_make_settings_that_the_service_takes(
    render: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"settings": {"max_batch_tokens": 8192, "host_budget_bytes": 8589934592}}
    for name, value in render(values=values).env("api").items():
        if isinstance(value, str):
            monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.host == "0.0.0.0"
    assert not settings.allow_remote
    assert settings.max_batch_tokens == 8192
    assert settings.host_budget_bytes == 8589934592
    assert str(settings.data_dir) == "/data"


def test_large_numbers_and_fractions_of_a_values_file_keep_their_digits(render: Render) -> None:
    settings = {"device_budget_bytes": 4294967296, "reconcile_interval_s": 0.5}
    environment = render(values={"settings": settings}).env("api")
    assert environment["SKHOST_DEVICE_BUDGET_BYTES"] == "4294967296"
    assert environment["SKHOST_RECONCILE_INTERVAL_S"] == "0.5"


def test_a_components_settings_go_before_the_common_ones(render: Render) -> None:
    values = {
        "settings": {"log_level": "warning", "dtype": "bfloat16"},
        "worker": {"settings": {"log_level": "debug"}},
    }
    manifests = render(values=values)
    assert manifests.env("api")["SKHOST_LOG_LEVEL"] == "warning"
    assert manifests.env("worker")["SKHOST_LOG_LEVEL"] == "debug"
    assert manifests.env("worker")["SKHOST_DTYPE"] == "bfloat16"


# registry and store


def test_the_charts_own_valkey_keeps_what_it_is_told_and_is_asked_by_name(
    defaults: Manifests,
) -> None:
    valkey = defaults.get("StatefulSet", "valkey")
    arguments = defaults.container("valkey")["args"]
    assert arguments[arguments.index("--appendonly") + 1] == "yes"
    assert arguments[arguments.index("--maxmemory-policy") + 1] == "noeviction"
    service = defaults.get("Service", "valkey")["metadata"]["name"]
    assert defaults.env("api")["SKHOST_REDIS_URL"] == f"redis://{service}:6379/0"
    assert defaults.env("worker")["SKHOST_REDIS_URL"] == f"redis://{service}:6379/0"
    assert valkey["spec"]["serviceName"] == service
    assert valkey["spec"]["volumeClaimTemplates"]


def test_valkeys_password_stays_in_its_secret(render: Render) -> None:
    manifests = render("--set", "valkey.auth.existingSecret=vk")
    reference = {"secretKeyRef": {"name": "vk", "key": "password"}}
    for component in ("api", "worker", "valkey"):
        assert manifests.env(component)["VALKEY_PASSWORD"] == reference
    # Kubernetes fills in only what stands before it in the list.
    names = [entry["name"] for entry in manifests.container("api")["env"]]
    assert names.index("VALKEY_PASSWORD") < names.index("SKHOST_REDIS_URL")
    assert ":$(VALKEY_PASSWORD)@" in manifests.env("api")["SKHOST_REDIS_URL"]
    assert not manifests.of("Secret")


def test_an_outside_redis_comes_from_a_secret_and_no_valkey_is_run(render: Render) -> None:
    url = "rediss://:hush@redis.example:6380/2"
    made = render("--set", "valkey.enabled=false", "--set", f"redis.url={url}")
    secret = made.get("Secret", "redis")
    assert secret["stringData"] == {"url": url}
    reference = {"secretKeyRef": {"name": secret["metadata"]["name"], "key": "url"}}
    assert made.env("worker")["SKHOST_REDIS_URL"] == reference
    assert made.text.count("hush") == 1
    assert not made.of("StatefulSet")

    given = ["redis.existingSecret=mine", "redis.existingSecretKey=dsn"]
    existing = render("--set", ",".join(["valkey.enabled=false", *given]))
    assert not existing.of("Secret")
    reference = {"secretKeyRef": {"name": "mine", "key": "dsn"}}
    assert existing.env("api")["SKHOST_REDIS_URL"] == reference


def test_the_server_asks_for_keys(render: Render, defaults: Manifests) -> None:
    assert defaults.env("api")["SKHOST_REQUIRE_KEYS"] == "true"
    assert "SKHOST_ALLOW_REMOTE" not in {**defaults.env("api"), **defaults.env("worker")}
    given = render("--set", "auth.existingSecret=mine,auth.existingSecretKey=k")
    reference = {"secretKeyRef": {"name": "mine", "key": "k"}}
    assert given.env("api")["SKHOST_ADMIN_KEY"] == reference
    assert "SKHOST_ADMIN_KEY" not in given.env("worker")
    with_metrics = ("--set", "serviceMonitor.enabled=true")
    monitor = render("--set", "auth.existingSecret=mine", *with_metrics).get("ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["authorization"] == {"credentials": {"name": "mine", "key": "admin-key"}}
    own = ("--set", "auth.existingSecret=mine,serviceMonitor.existingSecret=narrow", *with_metrics)
    (endpoint,) = render(*own).get("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["authorization"] == {"credentials": {"name": "narrow", "key": "metrics-key"}}


def test_no_keys_is_a_choice(render: Render) -> None:
    made = render("--set", "auth.enabled=false")
    assert made.env("api")["SKHOST_ALLOW_REMOTE"] == "true"
    assert "SKHOST_REQUIRE_KEYS" not in made.env("api")


def test_server_and_worker_share_one_volume(defaults: Manifests) -> None:
    claim = defaults.get("PersistentVolumeClaim", "data")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    for component in ("api", "worker"):
        assert data_volume(defaults, component) == {
            "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}
        }
        assert defaults.env(component)["SKHOST_DATA_DIR"] == "/data"


def data_volume(manifests: Manifests, component: str) -> Document:
    (pod,) = [pod for name, pod in manifests.pods() if name.endswith(component)]
    mounts = {m["name"]: m["mountPath"] for m in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["data"] == "/data"
    (volume,) = [v for v in pod["spec"]["volumes"] if v["name"] == "data"]
    return {key: value for key, value in volume.items() if key != "name"}


def test_pods_of_a_volume_for_one_node_are_kept_on_one_node(render: Render) -> None:
    together = render().get("Deployment", "worker")["spec"]["template"]
    (term,) = together["spec"]["affinity"]["podAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    wanted = term["labelSelector"]["matchLabels"].items()
    # The first pod is placed only because it matches its own term.
    assert wanted <= together["metadata"]["labels"].items()
    shared = render("--set", "storage.volume.accessMode=ReadWriteMany")
    for _, pod in shared.pods():
        assert "affinity" not in pod["spec"]


def test_a_store_elsewhere_needs_no_volume(render: Render) -> None:
    manifests = render(
        "--set",
        "storage.url=s3://bucket/adapters,storage.volume.enabled=false,storage.existingSecret=s3",
    )
    assert not manifests.of("PersistentVolumeClaim")
    for component in ("api", "worker"):
        assert data_volume(manifests, component) == {"emptyDir": {}}
        assert manifests.env(component)["SKHOST_STORE_URL"] == "s3://bucket/adapters"
        assert manifests.container(component)["envFrom"] == [{"secretRef": {"name": "s3"}}]


def test_an_existing_claim_is_used_and_none_is_made(render: Render) -> None:
    manifests = render("--set", "storage.volume.existingClaim=mine")
    assert not manifests.of("PersistentVolumeClaim")
    assert data_volume(manifests, "worker") == {"persistentVolumeClaim": {"claimName": "mine"}}


# the way in


def test_without_asking_for_it_nothing_is_reachable_from_outside(defaults: Manifests) -> None:
    assert not defaults.of("Ingress")
    assert {d["spec"].get("type", "ClusterIP") for d in defaults.of("Service")} == {"ClusterIP"}
    policy = defaults.get("NetworkPolicy", "api")["spec"]
    assert policy["ingress"] == [{"ports": [{"port": "http"}], "from": [{"podSelector": {}}]}]
    assert defaults.get("NetworkPolicy", "worker")["spec"]["ingress"] == []


def test_only_our_own_pods_may_ask_valkey(defaults: Manifests) -> None:
    spec = defaults.get("NetworkPolicy", "valkey")["spec"]
    (rule,) = spec["ingress"]
    peers = [peer["podSelector"]["matchLabels"] for peer in rule["from"]]
    assert [p["app.kubernetes.io/component"] for p in peers] == ["api", "worker", "test"]
    assert {p["app.kubernetes.io/instance"] for p in peers} == {"rel"}
    assert spec["egress"] == []


def test_the_ingress_leads_to_the_service(render: Render) -> None:
    manifests = render(values={"ingress": {"enabled": True, "hosts": [{"host": "a.example"}]}})
    (rule,) = manifests.get("Ingress")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    service = manifests.get("Service", "skhost")["metadata"]["name"]
    assert (rule["host"], path["path"]) == ("a.example", "/")
    assert path["backend"]["service"] == {"name": service, "port": {"name": "http"}}


def test_the_service_monitor_finds_the_servers_service(render: Render) -> None:
    manifests = render("--set", "serviceMonitor.enabled=true")
    wanted = manifests.get("ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    found = [
        d["metadata"]["name"]
        for d in manifests.of("Service")
        if wanted <= d["metadata"]["labels"].items()
    ]
    assert found == ["rel-skhost"]


def test_the_gateways_route_leads_to_the_service(render: Render) -> None:
    gateway = {"enabled": True, "parentRefs": [{"name": "gw"}], "hostnames": ["a.example"]}
    manifests = render(values={"gateway": gateway, "service": {"port": 8000}})
    assert manifests.get("HTTPRoute")["spec"] == {
        "parentRefs": [{"name": "gw"}],
        "hostnames": ["a.example"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"name": "rel-skhost", "port": 8000}],
            }
        ],
    }


# the way out


def test_the_way_out_can_be_closed_but_for_names_valkey_and_what_is_named(render: Render) -> None:
    peer = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443}]}
    policy = {"restrictEgress": True, "to": [peer]}
    manifests = render(values={"networkPolicy": policy})
    for component in ("api", "worker"):
        spec = manifests.get("NetworkPolicy", component)["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        names, valkey, named = spec["egress"]
        assert {(p["port"], p["protocol"]) for p in names["ports"]} == {(53, "UDP"), (53, "TCP")}
        (pods,) = valkey["to"]
        labels = manifests.get("StatefulSet", "valkey")["spec"]["selector"]["matchLabels"]
        assert pods["podSelector"]["matchLabels"] == labels
        assert named == peer


def test_an_open_way_out_is_not_mentioned(defaults: Manifests) -> None:
    spec = defaults.get("NetworkPolicy", "api")["spec"]
    assert (spec["policyTypes"], spec.get("egress")) == (["Ingress"], None)


# the base model


def test_an_init_container_fills_the_folder_that_the_base_is_read_from(render: Render) -> None:
    init = {"image": "models:1", "command": ["cp", "-r", "/m", "/models/b"], "existingSecret": "s"}
    manifests = render(values={"models": {"init": init}, "settings": {"base": "/models/b"}})
    for component in ("api", "worker"):
        spec = manifests.get("Deployment", component)["spec"]["template"]["spec"]
        (filling,) = spec["initContainers"]
        assert (filling["image"], filling["command"]) == ("models:1", init["command"])
        assert filling["envFrom"] == [{"secretRef": {"name": "s"}}]
        (volume,) = [v for v in spec["volumes"] if v["name"] == "models"]
        assert volume["emptyDir"] == {"sizeLimit": "10Gi"}
        writing, reading = (
            next(m for m in container["volumeMounts"] if m["name"] == "models")
            for container in (filling, spec["containers"][0])
        )
        assert writing == {"name": "models", "mountPath": "/models"}
        assert reading == {"name": "models", "mountPath": "/models", "readOnly": True}
        assert manifests.env(component)["SKHOST_BASE"] == "/models/b"


# what is refused


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"api": {"replica": 2}}, "'replica' not allowed"),
        ({"setings": {}}, "'setings' not allowed"),
        ({"settings": {"max_batch_token": 64}}, "'max_batch_token' not allowed"),
        ({"settings": {"redis_url": "redis://x"}}, "'redis_url' not allowed"),
        ({"settings": {"max_batch_tokens": 1}}, "/settings/max_batch_tokens"),
        ({"settings": {"dtype": "int8"}}, "/settings/dtype"),
        ({"worker": {"settings": {"log_level": "loud"}}}, "/worker/settings/log_level"),
        ({"api": {"resources": {"limits": {"memroy": "1Gi"}}}}, "'memroy' not allowed"),
        ({"api": {"extraEnv": [{"name": "SKHOST_PORT", "value": "1"}]}}, "/api/extraEnv/0/name"),
        ({"image": {"repository": ""}}, "/image/repository"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"service": {"port": 0}}, "/service/port"),
        ({"fullnameOverride": "Not_A_Name"}, "/fullnameOverride"),
        ({"storage": {"volume": {"accessMode": "ReadWriteOncePod"}}}, "accessMode"),
        ({"storage": {"volume": {"enabled": False}}}, "no store in common"),
        ({"valkey": {"enabled": False}}, "set one of redis.url"),
        ({"redis": {"url": "redis://x"}}, "set valkey.enabled=false"),
        ({"ingress": {"enabled": True}}, "ingress.hosts"),
        ({"gateway": {"enabled": True}}, "gateway.parentRefs"),
        ({"models": {"existingClaim": "m", "init": {"image": "m:1"}}}, "set one of them"),
        ({"api": {"autoscaling": {"minReplicas": 9}}}, "above maxReplicas"),
        (
            {"api": {"autoscaling": {"enabled": True, "queueMilliseconds": 0, "queueTokens": 0}}},
            "set queueMilliseconds",
        ),
        ({"worker": {"autoscaling": {"enabled": True}}}, "set prometheusUrl"),
        (
            {"networkPolicy": {"restrictEgress": True}, "storage": {"url": "s3://b/p"}},
            "networkPolicy.to",
        ),
    ],
    ids=lambda v: json.dumps(v) if isinstance(v, dict) else "",
)
def test_values_that_cannot_be_meant_are_refused(
    render: Render, values: Document, said: str
) -> None:
    with pytest.raises(Refused, match=re.escape(said)):
        render(values=values)


def test_the_same_values_render_the_same_bytes(render: Render) -> None:
    assert render().text == render().text


def test_every_example_says_what_it_is_for(render: Render) -> None:
    assert EXAMPLES
    for path in EXAMPLES:
        assert path.read_text().startswith("# "), path
        assert yaml.safe_load(path.read_text()), path
        assert render("--values", str(path)).text != render().text
