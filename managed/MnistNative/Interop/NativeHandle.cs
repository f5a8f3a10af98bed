using System.Buffers;
using System.Runtime.InteropServices;

namespace MnistNative.Interop;

/// <summary>
/// Owns one native object. The native handle is a number that the library looks up, so a stale one is refused, never
/// followed; 0 is no object.
/// </summary>
internal abstract class NativeHandle : SafeHandle
{
    private volatile bool _disposed;

    private protected NativeHandle(ulong value)
        : base(0, ownsHandle: true) => SetHandle((nint)value);

    public override bool IsInvalid => handle == 0;

    /// <summary>
    /// Whether it was disposed. Unlike <see cref="SafeHandle.IsClosed"/> it is true as soon as <see cref="SafeHandle.Dispose()"/>
    /// returns, also where calls under way keep the object alive.
    /// </summary>
    public bool IsDisposed => _disposed;

    /// <summary>Keeps the object alive until the lease is disposed, even if another thread disposes the handle.</summary>
    /// <exception cref="ObjectDisposedException">The object is disposed.</exception>
    public Lease Use()
    {
        ObjectDisposedException.ThrowIf(_disposed, Owner);
        return new Lease(this);
    }

    protected override void Dispose(bool disposing)
    {
        _disposed = true;
        base.Dispose(disposing);
    }

    /// <summary>The public type that the object is known by.</summary>
    protected abstract Type Owner { get; }

    /// <summary>The native handle.</summary>
    protected ulong Value => (ulong)handle;

    public readonly ref struct Lease
    {
        private readonly NativeHandle _owner;

        public Lease(NativeHandle owner)
        {
            bool added = false;
            owner.DangerousAddRef(ref added);
            _owner = owner;
        }

        /// <summary>What native functions take.</summary>
        public ulong Value => _owner.Value;

        public void Dispose() => _owner.DangerousRelease();
    }
}

/// <summary>
/// A device, which several owners share: whoever opened it, and all that was made for it. The last to let go closes it.
/// </summary>
internal sealed class DeviceHandle(ulong value) : NativeHandle(value)
{
    private int _owners = 1;

    protected override Type Owner => typeof(Device);

    public void Retain() => Interlocked.Increment(ref _owners);

    public void Release()
    {
        if (Interlocked.Decrement(ref _owners) == 0)
        {
            Dispose();
        }
    }

    protected override bool ReleaseHandle() => NativeMethods.DeviceClose(Value) == 0;
}

internal sealed class GraphHandle(ulong value) : NativeHandle(value)
{
    protected override Type Owner => typeof(Sequential);

    protected override bool ReleaseHandle() => NativeMethods.GraphDestroy(Value) == 0;
}

/// <summary>What was made for a device and keeps it open.</summary>
internal abstract class DeviceObjectHandle : NativeHandle
{
    private long _pressure;

    private protected DeviceObjectHandle(ulong value, DeviceHandle device)
        : base(value)
    {
        Device = device;
        device.Retain();
    }

    /// <summary>The device, open as long as this handle is.</summary>
    public DeviceHandle Device { get; }

    /// <summary>Tells the collector of the bytes that the object holds outside of its sight.</summary>
    public void AddPressure(long bytes)
    {
        if (bytes > 0)
        {
            _pressure += bytes;
            GC.AddMemoryPressure(bytes);
        }
    }

    protected sealed override bool ReleaseHandle()
    {
        if (_pressure > 0)
        {
            GC.RemoveMemoryPressure(_pressure);
        }

        bool destroyed = Destroy() == MnStatus.Ok;
        Device.Release();
        return destroyed;
    }

    private protected abstract MnStatus Destroy();
}

internal sealed class ModelHandle(ulong value, DeviceHandle device) : DeviceObjectHandle(value, device)
{
    protected override Type Owner => typeof(Model);

    private protected override MnStatus Destroy() => NativeMethods.ModelDestroy(Value);
}

internal sealed class TrainerHandle(ulong value, DeviceHandle device) : DeviceObjectHandle(value, device)
{
    protected override Type Owner => typeof(Trainer);

    private protected override MnStatus Destroy() => NativeMethods.TrainerDestroy(Value);
}

/// <summary>A data set that refers to managed memory, which stays pinned until the native side has let go of it.</summary>
internal sealed class DatasetHandle : DeviceObjectHandle
{
    private MemoryHandle _images;
    private MemoryHandle _labels;

    protected override Type Owner => typeof(ImageDataset);

    private DatasetHandle(ulong value, DeviceHandle device, MemoryHandle images, MemoryHandle labels)
        : base(value, device)
    {
        _images = images;
        _labels = labels;
    }

    /// <summary>Lends the data set's memory to the device.</summary>
    public static unsafe DatasetHandle Create(DeviceHandle device, ImageDataset data)
    {
        bool bytes = data.PixelType == PixelType.UInt8;
        MemoryHandle images = bytes ? data.ByteImages.Pin() : data.FloatImages.Pin();
        MemoryHandle labels = default;
        try
        {
            labels = data.Labels.Pin();
            var desc = new MnDatasetDesc
            {
                StructSize = (uint)sizeof(MnDatasetDesc),
                Dtype = (int)(bytes ? MnDtype.Uint8 : MnDtype.Float32),
                Count = data.Count,
                Shape = NativeShape.From(data.Shape),
                Images = images.Pointer,
                ImagesBytes = (ulong)data.Count * (ulong)data.Shape.Length * (bytes ? 1UL : sizeof(float)),
                Labels = (int*)labels.Pointer,
                Flags = (uint)MnDatasetFlag.Borrow,
            };
            ulong value;
            using Lease lease = device.Use();
            MnStatus status = NativeMethods.DatasetCreate(lease.Value, &desc, &value);
            Native.Check(Native.MayTryAgain(status) ? NativeMethods.DatasetCreate(lease.Value, &desc, &value) : status);
            return new DatasetHandle(value, device, images, labels);
        }
        catch
        {
            images.Dispose();
            labels.Dispose();
            throw;
        }
    }

    private protected override MnStatus Destroy()
    {
        MnStatus status = NativeMethods.DatasetDestroy(Value);
        _images.Dispose();
        _labels.Dispose();
        return status;
    }
}
