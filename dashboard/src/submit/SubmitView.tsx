/** Ask for features: network, images, layer, transform; what it costs stands beside it. */

import { Button, NumberInput, Select, Stack, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useSearch } from "@tanstack/react-router";
import { useMemo, useState } from "react";

import { checkpointsQuery, datasetsQuery, networkQuery, submitJob } from "../api/calls";
import { useAnswered } from "../jobs/useAnswered";
import { Heading } from "../parts/Heading";
import { Panel } from "../parts/Panel";
import { PrivateSwitch } from "../parts/Private";
import { Trouble } from "../parts/Trouble";
import { count, shape } from "../words/numbers";
import { Cost } from "./Cost";
import { NetworkPicker } from "./NetworkPicker";
import { EMPTY, requestOf, type Form } from "./request";
import { UploadPanel } from "./UploadPanel";

const ASK_MS = 250;

export function SubmitView() {
  const search = useSearch({ from: "/submit" });
  const [form, setForm] = useState<Form>({
    ...EMPTY,
    network: search.network ?? "",
    dataset: search.dataset ?? "",
  });
  const set = <Name extends keyof Form>(name: Name, value: Form[Name]) =>
    setForm((before) => ({ ...before, [name]: value }));
  const request = useMemo(() => requestOf(form), [form]);
  const [asked] = useDebouncedValue(request, ASK_MS);
  const submit = useSubmit();
  return (
    <Stack gap="md">
      <Heading title="Submit" under="Ask for features. What is there already costs nothing." />
      <div className="submit">
        <Panel title="What">
          <Stack gap="sm">
            <NetworkPicker
              value={form.network}
              onChange={(network) =>
                setForm((before) => ({ ...before, network, layer: "", weights: "default" }))
              }
            />
            <DatasetPicker value={form.dataset} onChange={(name) => set("dataset", name)} />
            <PrivateSwitch value={form.private} onChange={(only) => set("private", only)} />
            <UploadPanel isPrivate={form.private} onDataset={(name) => set("dataset", name)} />
          </Stack>
        </Panel>
        <Panel title="How">
          <How form={form} set={set} />
        </Panel>
        <Panel title="What it costs">
          <Cost request={asked} />
          <Button
            mt="md"
            size="sm"
            fullWidth
            disabled={!request}
            loading={submit.isPending}
            onClick={() => request && submit.mutate(request)}
          >
            Extract features
          </Button>
          {submit.isError && <Trouble error={submit.error} />}
        </Panel>
      </div>
    </Stack>
  );
}

function useSubmit() {
  const answered = useAnswered();
  return useMutation({
    mutationFn: submitJob,
    onSuccess: (answer) => {
      if ("object" in answer) answered(answer); // several layers at once are not asked for here
    },
  });
}

function DatasetPicker({ value, onChange }: { value: string; onChange: (name: string) => void }) {
  const datasets = useQuery(datasetsQuery).data?.items ?? [];
  const named = datasets.filter((dataset) => dataset.name === value);
  const chosen = named.find((dataset) => dataset.private) ?? named[0];
  const splits = Object.entries(chosen?.splits ?? {}).map(
    ([name, rows]) => `${name} ${count(rows)}`,
  );
  return (
    <Select
      label="Dataset"
      placeholder={datasets.length ? "Choose one" : "None yet: upload one below"}
      description={
        chosen
          ? `${count(chosen.rows)} images in ${count(chosen.classes.length)} classes: ${splits.join(", ")}`
          : "Which images"
      }
      data={[...new Set(datasets.map((dataset) => dataset.name))]}
      value={chosen ? value : null}
      onChange={(name) => onChange(name ?? "")}
      searchable
    />
  );
}

interface HowProps {
  form: Form;
  set: <Name extends keyof Form>(name: Name, value: Form[Name]) => void;
}

function How({ form, set }: HowProps) {
  const network = useQuery({ ...networkQuery(form.network), enabled: form.network !== "" }).data;
  const layers = Object.entries(network?.layers ?? {});
  const usual = network?.default_tap["layer"];
  return (
    <Stack gap="sm">
      <Select
        label="Layer"
        description={
          usual ? `The bottleneck is ${usual}` : "The bottleneck, unless another is chosen"
        }
        placeholder={usual ?? "The bottleneck"}
        data={layers.map(([value, sides]) => ({ value, label: `${value}  (${shape(sides)})` }))}
        value={form.layer || null}
        onChange={(layer) => set("layer", layer ?? "")}
        searchable
        clearable
        limit={200}
        disabled={!network}
      />
      <Select
        label="Pooling"
        data={POOLS}
        value={form.pool}
        onChange={(pool) => set("pool", (pool ?? "") as Form["pool"])}
      />
      <Select
        label="Transform"
        data={PRESETS}
        value={form.preset}
        onChange={(preset) => set("preset", (preset ?? "official") as Form["preset"])}
      />
      <NumberInput
        label="Size in pixels"
        placeholder={network ? String(network.input_size[0]) : "The network's own"}
        value={form.size}
        onChange={(size) => set("size", String(size))}
        min={1}
        max={4096}
        size="sm"
      />
      <Weights form={form} set={set} />
      <Select
        label="Arithmetic"
        data={ARITHMETIC}
        value={form.compute}
        onChange={(compute) => set("compute", (compute ?? "float32") as Form["compute"])}
      />
      <NumberInput
        label="Images a class"
        placeholder="all"
        value={form.perClass}
        onChange={(value) => set("perClass", String(value))}
        min={1}
      />
      <NumberInput
        label="Percent of train to move to validation"
        description="Heads are scored on validation"
        placeholder="none"
        suffix=" %"
        value={form.validation}
        onChange={(value) => set("validation", String(value))}
        min={0}
        max={99}
      />
    </Stack>
  );
}

function Weights({ form, set }: HowProps) {
  const checkpoints = useQuery(checkpointsQuery).data?.items ?? [];
  const mine = checkpoints.filter((one) => one.network === form.network);
  if (!mine.length)
    return (
      <TextInput
        label="Weights"
        description="default, a name such as IMAGENET1K_V1, or random:<seed>"
        value={form.weights}
        onChange={({ currentTarget }) => set("weights", currentTarget.value)}
      />
    );
  const uploaded = mine.map(({ weights, name }) => ({ value: weights, label: name }));
  return (
    <Select
      label="Weights"
      data={[{ value: "default", label: "default: torchvision's" }, ...uploaded]}
      value={form.weights}
      onChange={(weights) => set("weights", weights ?? "default")}
    />
  );
}

const POOLS = [
  { value: "", label: "the layer's usual one" },
  { value: "avg", label: "avg: mean over positions" },
  { value: "max", label: "max: largest over positions" },
  { value: "flatten", label: "flatten: all values in a row" },
  { value: "none", label: "none: as it is" },
];

const PRESETS = [
  { value: "official", label: "official: as the weights were trained" },
  { value: "stretch", label: "stretch: straight to the input size" },
];

const ARITHMETIC = [
  { value: "float32", label: "float32: within 0.0001 of plain float32" },
  { value: "fast", label: "fast: 16 bit, cosine at least 0.99" },
];
