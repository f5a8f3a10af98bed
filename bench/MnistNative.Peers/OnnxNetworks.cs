using System.Runtime.InteropServices;
using Google.Protobuf;

namespace MnistNative.Peers;

/// <summary>
/// Seed and tower as ONNX models with random weights, written field by field: the numbers are those of onnx.proto, which
/// has no package of its own for .NET.
/// </summary>
internal static class OnnxNetworks
{
    public const string Input = "images";

    public static string[] Names => ["seed", "tower"];

    public static byte[] Create(string network) => network switch
    {
        "seed" => new Writer().Write(convolutions: [32, 64], linears: [128, 10]),
        "tower" => new Writer().Write(convolutions: [32, 32], linears: [10]),
        _ => throw new ArgumentOutOfRangeException(nameof(network), network, "There is no such network."),
    };

    private sealed class Writer
    {
        private readonly List<byte[]> _nodes = [];
        private readonly List<byte[]> _weights = [];
        private readonly Random _random = new(1);
        private string _value = Input;

        public byte[] Write(int[] convolutions, int[] linears)
        {
            int inputs = 1;
            foreach (int channels in convolutions)
            {
                Node("Conv", [Weight(channels, inputs, 3, 3), Weight(channels)], Integers("pads", 1, 1, 1, 1));
                Node("Relu", []);
                Node("MaxPool", [], Integers("kernel_shape", 2, 2), Integers("strides", 2, 2));
                inputs = channels;
            }

            Node("Flatten", []);
            inputs *= 7 * 7;
            for (int i = 0; i < linears.Length; i++)
            {
                if (i > 0)
                {
                    Node("Relu", []);
                }

                Node("Gemm", [Weight(linears[i], inputs), Weight(linears[i])], Integer("transB", 1));
                inputs = linears[i];
            }

            byte[] graph = Message(stream =>
            {
                _nodes.ForEach(node => Bytes(stream, 1, node));
                Text(stream, 2, "network");
                _weights.ForEach(weight => Bytes(stream, 5, weight));
                Bytes(stream, 11, Value(Input, 1, 28, 28));
                Bytes(stream, 12, Value(_value, inputs));
            });
            return Message(stream =>
            {
                Number(stream, 1, 8); // version of the format
                Bytes(stream, 7, graph);
                Bytes(stream, 8, Message(set => Number(set, 2, 17))); // version of the operators
            });
        }

        private void Node(string op, string[] weights, params byte[][] attributes)
        {
            string result = $"value{_nodes.Count}";
            _nodes.Add(Message(stream =>
            {
                Text(stream, 1, _value);
                Array.ForEach(weights, weight => Text(stream, 1, weight));
                Text(stream, 2, result);
                Text(stream, 4, op);
                Array.ForEach(attributes, attribute => Bytes(stream, 5, attribute));
            }));
            _value = result;
        }

        private string Weight(params int[] shape)
        {
            float[] values = new float[shape.Aggregate(1, (product, extent) => product * extent)];
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = (_random.NextSingle() - 0.5f) * 0.1f;
            }

            string name = $"weight{_weights.Count}";
            _weights.Add(Message(stream =>
            {
                Array.ForEach(shape, extent => Number(stream, 1, extent));
                Number(stream, 2, 1); // float
                Text(stream, 8, name);
                Bytes(stream, 9, MemoryMarshal.AsBytes<float>(values).ToArray());
            }));
            return name;
        }

        private static byte[] Integers(string name, params int[] values) => Message(stream =>
        {
            Text(stream, 1, name);
            Array.ForEach(values, value => Number(stream, 8, value));
            Number(stream, 20, 7);
        });

        private static byte[] Integer(string name, int value) => Message(stream =>
        {
            Text(stream, 1, name);
            Number(stream, 3, value);
            Number(stream, 20, 2);
        });

        // A float tensor of any number of images.
        private static byte[] Value(string name, params int[] extents) => Message(stream =>
        {
            byte[] shape = Message(dimensions =>
            {
                Bytes(dimensions, 1, Message(dimension => Text(dimension, 2, "N")));
                Array.ForEach(extents, extent => Bytes(dimensions, 1, Message(dimension => Number(dimension, 1, extent))));
            });
            byte[] tensor = Message(type =>
            {
                Number(type, 1, 1);
                Bytes(type, 2, shape);
            });
            Text(stream, 1, name);
            Bytes(stream, 2, Message(type => Bytes(type, 1, tensor)));
        });

        private static byte[] Message(Action<CodedOutputStream> write)
        {
            using var buffer = new MemoryStream();
            using (var stream = new CodedOutputStream(buffer))
            {
                write(stream);
            }

            return buffer.ToArray();
        }

        private static void Number(CodedOutputStream stream, int field, long value)
        {
            stream.WriteTag(field, WireFormat.WireType.Varint);
            stream.WriteInt64(value);
        }

        private static void Text(CodedOutputStream stream, int field, string value)
        {
            stream.WriteTag(field, WireFormat.WireType.LengthDelimited);
            stream.WriteString(value);
        }

        private static void Bytes(CodedOutputStream stream, int field, byte[] value)
        {
            stream.WriteTag(field, WireFormat.WireType.LengthDelimited);
            stream.WriteBytes(ByteString.CopyFrom(value));
        }
    }
}
