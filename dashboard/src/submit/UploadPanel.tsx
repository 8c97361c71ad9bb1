/** Images from this machine: dropped or chosen, sent with progress. */

import { Button, FileButton, Group, Progress, Text, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useRef, useState, type DragEvent } from "react";

import type { Dataset, Job } from "../api/shapes";
import { Trouble } from "../parts/Trouble";
import { bytes, percent } from "../words/numbers";
import { datasetName } from "./request";
import { upload } from "./uploading";

const KINDS = ".zip,.tar,.tar.gz,.tgz,.npz,.h5,.p,.pkl,.pickle";

interface Props {
  isPrivate: boolean;
  onDataset: (name: string) => void;
}

export function UploadPanel({ isPrivate, onDataset }: Props) {
  const [files, setFiles] = useState<File[]>([]);
  const [name, setName] = useState("");
  const [over, setOver] = useState(false);
  const { send, cancel, share, error, answer } = useUpload(onDataset);
  const choose = (chosen: File[]) => {
    setFiles(chosen);
    if (chosen[0]) setName(datasetName(chosen[0].name));
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    choose([...event.dataTransfer.files]);
  };
  return (
    <div
      className="drop"
      data-over={over || undefined}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <Text size="sm" mb="xs">
        Drop an archive with a folder for each class, or arrays (.npz, .h5, pickle), or{" "}
        <FileButton onChange={choose} accept={KINDS} multiple>
          {(props) => (
            <Button {...props} variant="default" size="compact-sm">
              choose files
            </Button>
          )}
        </FileButton>
      </Text>
      {files.length > 0 && (
        <Group justify="center" align="flex-end" gap="xs">
          <TextInput
            size="xs"
            label="Name of the dataset"
            value={name}
            onChange={({ currentTarget }) => setName(currentTarget.value)}
          />
          <Button disabled={!name || share !== null} onClick={() => send(name, files, isPrivate)}>
            Upload {bytes(files.reduce((sum, file) => sum + file.size, 0))}
          </Button>
          {share !== null && (
            <Button variant="default" onClick={cancel}>
              Stop
            </Button>
          )}
        </Group>
      )}
      {share !== null && (
        <>
          <Progress mt="sm" value={100 * share} aria-label="Upload" animated={share === 1} />
          <Text size="xs" c="dimmed" aria-live="polite">
            {share < 1 ? `${percent(share, 0)} sent` : "Sent. A worker takes the images in."}
          </Text>
        </>
      )}
      {answer?.object === "job" && (
        <Text size="sm" mt="xs">
          It takes longer:{" "}
          <Link to="/jobs/$jobId" params={{ jobId: answer.id }} className="link">
            watch the job
          </Link>
        </Text>
      )}
      {error !== null && <Trouble error={error} />}
    </div>
  );
}

function useUpload(onDataset: (name: string) => void) {
  const client = useQueryClient();
  const [share, setShare] = useState<number | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [answer, setAnswer] = useState<Job | null>(null);
  const stop = useRef<(() => void) | null>(null);
  const send = async (name: string, files: File[], isPrivate: boolean) => {
    setError(null);
    setAnswer(null);
    setShare(0);
    const sending = upload(name, files, isPrivate, setShare);
    stop.current = sending.cancel;
    try {
      const found = await sending.answer;
      if (isJob(found)) setAnswer(found);
      else onDataset(found.name);
      void client.invalidateQueries({ queryKey: ["datasets"] });
    } catch (failure) {
      if (!(failure instanceof DOMException)) setError(failure);
    }
    setShare(null);
  };
  return { send, cancel: () => stop.current?.(), share, error, answer };
}

const isJob = (found: Dataset | Job): found is Job => "object" in found && found.object === "job";
