/** One pack: what it is, what is in it, how to load it. */

import { Badge, Button, Stack } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";

import { deletePacks, packQuery, pinPacks, verifyPack } from "../api/calls";
import type { Pack } from "../api/shapes";
import { Health } from "../packs/columns";
import { Heading } from "../parts/Heading";
import { Panel } from "../parts/Panel";
import { PrivateMark } from "../parts/Private";
import { sentence, Trouble } from "../parts/Trouble";
import { Waiting } from "../parts/Waiting";
import { bytes } from "../words/numbers";
import { packInWords, tapName } from "../words/recipe";
import { Contents } from "./Contents";
import { Heads } from "./Heads";
import { Loading } from "./Loading";
import { Origin } from "./Origin";

const MapPanel = lazy(() => import("../map/MapPanel"));

export function PackView() {
  const { packId } = useParams({ from: "/packs/$packId" });
  const pack = useQuery(packQuery(packId));
  if (pack.isError && !pack.data) return <Trouble error={pack.error} again={pack.refetch} />;
  if (!pack.data) return <Waiting lines={14} />;
  return <Whole pack={pack.data} />;
}

function Whole({ pack }: { pack: Pack }) {
  const [mapShown, setMapShown] = useState(false);
  return (
    <Stack gap="md">
      <Heading title={packInWords(pack, pack.pack_id)} under={<Under pack={pack} />}>
        <Acts pack={pack} />
      </Heading>
      {pack.problem && <Damaged pack={pack} />}
      <Origin pack={pack} />
      <Contents pack={pack} />
      <Panel title="Map of its rows">
        {mapShown ? (
          <Suspense fallback={<Waiting lines={1} height={420} />}>
            <MapPanel pack={pack} />
          </Suspense>
        ) : (
          <Button variant="light" onClick={() => setMapShown(true)}>
            Show the map
          </Button>
        )}
      </Panel>
      <div className="columns">
        <Heads pack={pack} />
        <Loading pack={pack} />
      </div>
    </Stack>
  );
}

function Under({ pack }: { pack: Pack }) {
  return (
    <span>
      {tapName(pack)} · <code>{pack.pack_id}</code> · <Health pack={pack} />{" "}
      <PrivateMark of={pack} />{" "}
      {pack.pinned && (
        <Badge size="xs" variant="outline" color="gray">
          pinned
        </Badge>
      )}
    </span>
  );
}

function Damaged({ pack }: { pack: Pack }) {
  const problem = pack.problem as { message?: string; detail?: string } | null;
  return (
    <Panel title="This pack is damaged">
      {sentence(problem?.detail ?? problem?.message ?? "its file does not match its hash")} Its rows
      are not served.{" "}
      <Link to="/submit" search={{ network: pack.network, dataset: pack.dataset }} className="link">
        Submit the pair again
      </Link>
      , and it is built anew.
    </Panel>
  );
}

function Acts({ pack }: { pack: Pack }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const again = () => client.invalidateQueries({ queryKey: ["pack", pack.pack_id] });
  const pin = useMutation({
    mutationFn: () => pinPacks([pack.pack_id], !pack.pinned),
    onSuccess: again,
  });
  const verify = useMutation({
    mutationFn: () => verifyPack(pack.pack_id),
    onSuccess: (job) => navigate({ to: "/jobs/$jobId", params: { jobId: job.id } }),
  });
  const remove = useMutation({
    mutationFn: () => deletePacks([pack.pack_id]),
    onSuccess: () => navigate({ to: "/" }),
  });
  const [sure, setSure] = useState(false);
  const failed = [pin, verify, remove].find((act) => act.isError);
  return (
    <>
      <Button component="a" href={`/v1/packs/${pack.pack_id}/file`} download={`${pack.pack_id}.h5`}>
        Download {bytes(pack.bytes)}
      </Button>
      <Button variant="default" loading={pin.isPending} onClick={() => pin.mutate()}>
        {pack.pinned ? "Unpin" : "Pin"}
      </Button>
      <Button variant="default" loading={verify.isPending} onClick={() => verify.mutate()}>
        Verify
      </Button>
      <Button
        variant={sure ? "filled" : "light"}
        color="red"
        loading={remove.isPending}
        onClick={() => (sure ? remove.mutate() : setSure(true))}
        onBlur={() => setSure(false)}
      >
        {sure ? "Really delete" : "Delete"}
      </Button>
      {failed && <Trouble error={failed.error} />}
    </>
  );
}
